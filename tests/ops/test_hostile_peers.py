"""Peers that mean ill: whatever they answer, it costs a node no more than it would have cost to refuse it."""

from __future__ import annotations

import asyncio
import resource
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import msgspec
import pytest
from rookery.eventstore import Log, SourceFailed
from rookery.ops.healing import PeerSource
from rookery.ops.health import Health
from rookery.ops.serve import open_many_files
from rookery.ops.syncing import Fork, LogPeer, Offer, Pull, Run, Syncing, pulling
from rookery.ops.syncing.quarantine import NAME as QUARANTINE
from rookery.schemas import InvalidInput
from rookery.tests.eventstore.deliveries import many
from rookery.tests.eventstore.test_golden import FIRST
from rookery.tests.eventstore.test_golden import HERE as GOLDEN
from rookery.tests.ops.test_checker import east, west
from rookery.tests.ops.test_syncing import Liar, edited, files, open_log, pull, told_of, with_state

GHOSTS = 20


__all__ = ["east", "west"]  # fixtures


class Inventor(LogPeer):
    """A peer that offers origins of which there is nothing, or nothing true."""

    def __init__(self, log: Log, kind: str) -> None:
        super().__init__(log, name="inventor")
        self._kind = kind

    async def offer(self) -> Offer:
        told = (await super().offer()).origins["east"]
        if self._kind != "segments":
            told = msgspec.structs.replace(told, sealed=0)
        return Offer(own=None, origins={f"ghost-{n}": told for n in range(GHOSTS)})

    async def manifest(self, origin: str, after: int) -> list[bytes]:
        return await super().manifest("east", after)

    async def segment(self, origin: str, first: int, size_bytes: int) -> bytes:
        return b"x" * size_bytes

    async def lines(self, origin: str, after: int, up_to: int) -> Run:
        return Run(1, [b"{}"]) if self._kind == "lines" else await super().lines(origin, after, up_to)


@pytest.mark.parametrize("kind", ["nothing", "lines", "segments"])
def test_an_origin_of_which_nothing_true_comes_leaves_nothing_behind(east: Log, west: Log, kind: str) -> None:
    assert len(pull(west, Inventor(east, kind), "west").failures) == GHOSTS
    assert west.origins() == []
    assert not [path for path in west.folder.glob("*") if path.is_dir()]


def test_a_log_begins_no_more_origins_than_it_may_have(
    west: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "ORIGINS_MAX", 2)
    with ExitStack() as stack:
        logs = [stack.enter_context(open_log(tmp_path, name)) for name in ("a", "b", "c")]
        for log, name in zip(logs, "abc", strict=True):
            log.append(name, many(3))
            pulled = pull(west, log, "west")
            assert [failure.error for failure in pulled.failures.values()] == ["TooManyOrigins"] * (name == "c")
        logs[0].append("a", many(3, first=10))
        assert pull(west, logs[0], "west").events == {"a": 3}
    assert west.vector() == {"a": 6, "b": 3}


def test_an_unknown_origin_that_several_peers_bring_at_once_is_begun_once(east: Log, west: Log) -> None:
    async def pull_at_once() -> list[str]:
        pulls = [Pull(west, LogPeer(east, name=f"peer {n}"), ("west",)).run() for n in range(8)]
        return [wrong for pulled in await asyncio.gather(*pulls) for wrong in pulled.wrong]

    assert asyncio.run(pull_at_once()) == []
    assert files(west) == files(east)


def test_a_process_may_have_as_many_files_open_as_the_system_lets_it() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1_024), hard))
    try:
        open_many_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Forking:
    """A node that pulls from a peer whose history of east is another one each time."""

    def __init__(self, log: Log, data: Path, before_taking: Callable[[], object] = lambda: None) -> None:
        self.told: list[Fork] = []
        self.branches = data / QUARANTINE / "east"
        self._syncing = Syncing(log, ("west",), Health(), data, on_fork=self.told.append, before_taking=before_taking)

    def pull(self, peer: LogPeer, times: int) -> None:
        async def pull() -> None:
            for _ in range(times):
                assert len((await self._syncing.pull(peer)).forks) == 1

        asyncio.run(pull())


def forking(east: Log) -> Liar:
    turns = count(1)
    return Liar(east, "offer", lambda offer: with_state(offer, last=1, sealed=0, chain=f"{next(turns):016x}"))


def test_a_peer_that_forks_anew_each_time_is_told_of_once(east: Log, west: Log, tmp_path: Path) -> None:
    pull(west, east, "west")
    node = Forking(west, tmp_path / "data")
    node.pull(forking(east), 20)
    assert len(node.told) == 1
    assert [len(list(folder.glob("*.ndjson"))) for folder in node.branches.iterdir()] == [1]


def test_a_branch_for_which_there_is_no_room_is_told_of_and_not_kept_in_part(
    east: Log, west: Log, tmp_path: Path
) -> None:
    def refuse() -> None:
        raise InvalidInput("the disk is full")

    pull(west, east, "west")
    node = Forking(west, tmp_path / "data", refuse)
    node.pull(forking(east), 1)
    assert len(node.told) == 1
    assert list(node.branches.iterdir()) == []


def test_a_branch_that_the_peer_takes_back_is_told_of(east: Log, west: Log, tmp_path: Path) -> None:
    pull(west, east, "west")
    turns = count(1)

    def lie(offer: Offer) -> Offer:
        if next(turns) % 2:
            return with_state(offer, last=1, sealed=0, chain="0123456789abcdef")
        return Offer(own=None, origins={})

    node = Forking(west, tmp_path / "data")
    node.pull(Liar(east, "offer", lie), 1)
    assert len(node.told) == 1


def test_a_manifest_of_endless_lines_is_refused(east: Log, west: Log) -> None:
    liar = Liar(east, "manifest", lambda lines: edited(lines, note="x" * 5_000))
    assert "liar" in told_of(west, liar)
    assert west.sealed_state("east").last == 0
    assert pull(west, east, "west").wrong == []


class Repeating(LogPeer):
    """A peer whose manifest never ends: it gives the beginning again and again."""

    asked = 0

    async def manifest(self, origin: str, after: int) -> list[bytes]:
        self.asked += 1
        assert self.asked < 50, "it would be asked for ever"
        return await super().manifest(origin, 0)

    async def offer(self) -> Offer:
        return with_state(await super().offer(), manifest="1" * 64)


async def test_a_source_whose_manifest_never_ends_is_not_asked_for_ever(east: Log) -> None:
    source = PeerSource(Repeating(east), asyncio.get_running_loop())
    with pytest.raises(SourceFailed, match="manifest"):
        await asyncio.to_thread(source.manifest, "east")


def test_a_manifest_that_never_ends_is_compared_as_far_as_the_own_one_goes(tmp_path: Path) -> None:
    """Lines without chains are compared by their manifests."""
    for name in ("here", "there"):
        shutil.copytree(GOLDEN / FIRST / "log", tmp_path / name)
    with Log.open(tmp_path / "here", own=()) as here, Log.open(tmp_path / "there", writable=False) as there:
        assert asyncio.run(Pull(here, Repeating(there), (), only="north").run()).wrong == []
