"""What a node that starts believes a peer about the node's own origin: nothing, unless it has lost some of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rookery.bus import MemoryBus
from rookery.eventstore import Log
from rookery.eventstore.origin import LOCK
from rookery.ops.data_folder import DataFolder
from rookery.ops.own_history import complete_own_history
from rookery.ops.syncing import LogPeer
from rookery.tests.eventstore.deliveries import many

HELD, MORE = 10, 5


class Reached(LogPeer):
    """A log as a peer that is reached anew each time."""

    async def aclose(self) -> None:
        """It stays open."""


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """The folder of a node that ended."""
    folder = DataFolder(tmp_path / "data")
    with Log.open(folder.log, own=("east",)) as log:
        log.append("east", many(HELD))
    return folder


@pytest.fixture
def ahead(tmp_path: Path) -> Iterator[Log]:
    """A peer's log that goes on where the node's ends; anybody can make one."""
    with Log.open(tmp_path / "peer") as log:
        log.append("east", many(HELD + MORE))
        yield log


def held_after_a_start(folder: DataFolder, peer: Log) -> int:
    reach: Any = lambda _: Reached(peer)  # noqa: E731
    asyncio.run(complete_own_history(folder, "east", ["http://peer"], MemoryBus(), reach))
    with Log.open(folder.log, writable=False) as log:
        return log.vector()["east"]


def test_at_an_ordinary_start_nothing_is_taken_and_the_way_to_do_it_by_hand_is_told(
    folder: DataFolder, ahead: Log, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert held_after_a_start(folder, ahead) == HELD
    assert "rookery sync http://peer --recover-own" in caplog.text
    assert not folder.restored.exists()


def is_restored(folder: DataFolder) -> None:
    folder.restored.touch()


def has_lost_its_end(folder: DataFolder) -> None:
    (folder.log / "east" / LOCK).write_bytes(b"%020d\n" % (HELD + MORE))


@pytest.mark.parametrize("happens", [is_restored, has_lost_its_end])
def test_what_was_lost_is_taken_back(folder: DataFolder, ahead: Log, happens: Callable[[DataFolder], None]) -> None:
    happens(folder)
    assert held_after_a_start(folder, ahead) == HELD + MORE
    assert folder.restored.exists()


def test_lines_that_part_from_the_nodes_own_are_not_taken_even_then(folder: DataFolder, tmp_path: Path) -> None:
    is_restored(folder)
    with Log.open(tmp_path / "other") as other:
        other.append("east", many(HELD + MORE, first=500))
        assert held_after_a_start(folder, other) == HELD
