"""The books can fail: what is planted in a log as lost, doubled, moved or altered is found, by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rookery.eventstore import Log, Record
from rookery.schemas import Event, RunStarted
from rookery.tests.eventstore.deliveries import deliver

from .ledger import Ledger, Verdict
from .rows import BEGIN, END, Row, write

EVENTS = 6


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def events(ledger: Ledger) -> list[Event]:
    """Events of two entities in turn, all acknowledged."""
    made = [Event.of(RunStarted(), subject=f"run-{at % 2}", source="/agents/a") for at in range(EVENTS)]
    for event in made:
        ledger.promise(event)
        ledger.acknowledge(event)
    return made


def lines_of(events: Sequence[Event], folder: Path) -> list[Record]:
    with Log.open(folder) as log:
        log.append("here", [deliver(at, event) for at, event in enumerate(events, 1)])
        return list(log.read("here"))


def test_a_log_with_everything_once_and_in_order_is_whole(ledger: Ledger, events: list[Event], tmp_path: Path) -> None:
    assert not ledger.verdict().is_whole
    ledger.take(lines_of(events, tmp_path))
    assert ledger.verdict() == Verdict(EVENTS)
    ledger.begin_again()
    assert ledger.verdict().lost == EVENTS


def again(records: list[Record]) -> list[Record]:
    return [*records, records[0]._replace(n=EVENTS + 1)]


def swapped(records: list[Record]) -> list[Record]:
    return [*records[:2], records[4]._replace(n=3), records[3], records[2]._replace(n=5), records[5]]


def altered(records: list[Record]) -> list[Record]:
    return [records[0]._replace(line=records[0].line.replace(b"run.started", b'run.started","x":"')), *records[1:]]


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (lambda records: records[:-1], Verdict(EVENTS, lost=1)),
        (lambda records: [*records[:2], *records[3:]], Verdict(EVENTS, lost=1, holes=1)),
        (again, Verdict(EVENTS, doubled=1)),
        (swapped, Verdict(EVENTS, misplaced=1)),
        (altered, Verdict(EVENTS, altered=1)),
    ],
    ids=["a lost end", "a lost line", "a doubled line", "two lines of an entity swapped", "an altered line"],
)
def test_what_is_planted_is_found(
    ledger: Ledger,
    events: list[Event],
    tmp_path: Path,
    plant: Callable[[list[Record]], list[Record]],
    found: Verdict,
) -> None:
    ledger.take(plant(lines_of(events, tmp_path)))
    assert ledger.verdict() == found
    assert not found.is_whole


def test_what_was_never_acknowledged_may_be_there_once_but_not_twice(ledger: Ledger, tmp_path: Path) -> None:
    event = Event.of(RunStarted(), subject="run-0", source="/agents/a")
    ledger.promise(event)
    assert ledger.verdict() == Verdict(0)
    (record,) = lines_of([event], tmp_path)
    ledger.take([record])
    assert ledger.verdict() == Verdict(0)
    ledger.take([record._replace(n=2)])
    assert ledger.verdict() == Verdict(0, doubled=1)


def test_the_table_keeps_the_rows_of_other_faults(tmp_path: Path) -> None:
    document = tmp_path / "reliability.md"
    document.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    write(document, [Row(fault="one", times=1_000, lost=0, seed=12_345), Row(fault="two", times=2)])
    write(document, [Row(fault="two", times=3, lost=4)])
    lines = document.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert [line.split(" | ")[:4] for line in lines if line.startswith("| ")][1:] == [
        ["| one", "1,000", "", "0"],
        ["| two", "3", "", "4"],
    ]
    assert Row(fault="two", times=3, lost=4).is_broken
