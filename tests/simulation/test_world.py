"""Whatever happens to a colony, in whatever order: nothing that was acknowledged is lost, doubled or altered."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rookery.bus import Delivery
from rookery.eventstore import Log, arrivals, recovery
from rookery.eventstore.admission import Admission
from rookery.eventstore.line import Chain, is_next
from rookery.handlers.reactions.lanes import Lanes
from rookery.projections import Catalogue
from rookery.projections.definitions import SQL_FOLDER, parse
from rookery.schemas import MalformedEvent
from rookery.tests.eventstore.faults import path_of

from . import reacting
from .checker import Broken
from .places import Places
from .reacting import Reacting
from .weather import FaultyDisk, StutteringBus
from .world import Parts, World, run

SEEDS_BEFORE_A_BREAK_MAX = 12


def test_nothing_is_lost_doubled_or_altered(seed: int, tmp_path: Path) -> None:
    run(seed, tmp_path)


def test_places_that_sync_come_to_the_same_log_over_a_bad_line(seed_of_places: int, tmp_path: Path) -> None:
    run(seed_of_places, tmp_path, kind=Places)


def test_reacting_answers_each_thing_once_and_in_order(seed_of_reacting: int, tmp_path: Path) -> None:
    run(seed_of_reacting, tmp_path, kind=Reacting)


def test_a_seed_decides_everything(tmp_path: Path) -> None:
    assert run(5, tmp_path / "once") == run(5, tmp_path / "again")
    assert run(3, tmp_path / "places", kind=Places) == run(3, tmp_path / "the same", kind=Places)
    assert run(2, tmp_path / "reacting", kind=Reacting) == run(2, tmp_path / "as before", kind=Reacting)


class LyingDisk(FaultyDisk):
    """Says that it has synced the lines, and has not."""

    def touch(self, name: str, really: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name == "fsync" and not self.dead and re.search(r"/\d+\.ndjson$", path_of(args[0])):
            return None
        return super().touch(name, really, *args, **kwargs)


class LeakyBus(StutteringBus):
    """Does not deliver everything that it acknowledged."""

    def _cut(self, batch: list[Delivery]) -> list[list[Delivery]]:
        kept = [delivery for delivery in batch if delivery.sequence % 7]
        return super()._cut(kept) if kept else []


def doubling() -> Catalogue:
    """Read models of which one counts calls twice."""
    files = {path.name: path.read_text("utf-8") for path in SQL_FOLDER.glob("*.sql")}
    right, wrong = "known.calls + new.calls", "known.calls + 2 * new.calls"
    files["cost_by_run.sql"] = files["cost_by_run.sql"].replace(right, wrong)
    return Catalogue(parse(text, name) for name, text in files.items())


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        (Parts(disk=LyingDisk), "lost all after"),
        (Parts(bus=LeakyBus), "lines of the log"),
        (Parts(catalogue=doubling()), "digests|cost_by_run"),
    ],
    ids=["a disk that lies", "a bus that leaks", "a fold that counts twice"],
)
def test_a_broken_part_is_noticed(tmp_path: Path, parts: Parts, complaint: str) -> None:
    with pytest.raises(Broken, match=complaint):
        live_through_some(tmp_path, parts)


def test_a_log_that_forgets_what_it_holds_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Admission, "_holder", lambda *_: None)
    with pytest.raises(Broken, match="lines of the log"):
        live_through_some(tmp_path, Parts())


def test_a_mirror_that_believes_its_peer_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "is_next", lambda line, n, _: is_next(line, n, Chain(None)))
    with pytest.raises(Broken):
        live_through_some(tmp_path, Parts(), Places)


def test_a_runner_that_forgets_what_it_has_in_hand_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lanes, "reached", lambda _, position: position)
    monkeypatch.setattr(reacting, "FAILURE_CHANCE", 0.9)  # so that there is something in hand when it is killed
    with pytest.raises(Broken, match="answered assignments"):
        live_through_some(tmp_path, Parts(), Reacting)


def test_a_log_that_believes_its_disk_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Log, "verify", lambda _: None)
    monkeypatch.setattr(recovery, "is_next", lambda line, n, _: is_next(line, n, Chain(None)))
    with pytest.raises((Broken, MalformedEvent, TimeoutError)):  # what does not follow is never sealed, and waited for
        live_through_some(tmp_path, Parts(), Places)


def live_through_some(folder: Path, parts: Parts, kind: type[World] = World) -> None:
    for seed in range(SEEDS_BEFORE_A_BREAK_MAX):
        run(seed, folder / str(seed), parts, kind)


def test_a_failure_says_how_to_see_it_again(tmp_path: Path) -> None:
    with pytest.raises(Broken) as broken:
        run(0, tmp_path, Parts(bus=LeakyBus))
    assert broken.value.__notes__[-1] == "To see it again: pytest tests/simulation --seed=0"
