"""Which events are behind a row: as the projections' files declare it, held against what the folds do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.eventstore import Segment
from rookery.projections import (
    Catalogue,
    InvalidProjection,
    InvalidQuestion,
    Leash,
    QueryFailed,
    UnknownReadModel,
    loader,
)
from rookery.projections.definitions import parse
from rookery.projections.engine import Engine
from rookery.projections.keys import KeyPart
from rookery.projections.lineage import Address, Behind, Lineage
from rookery.projections.sidecars import SideCars
from rookery.schemas import Event, LlmCallCompleted, RunStarted, all_types

from .colony import NOON, Colony, fact
from .test_convergence import CATALOGUE, FACTS, entities, events, facts, folders, moments, relaxed

__all__ = ["folders"]

LIMIT = 1_000
BY_NAME = CATALOGUE.by_name
Row = dict[str, Any]


def with_all_it_uses(name: str) -> Catalogue:
    """One projection, and those that it can't do without: what takes no time to fold."""
    needed = {name}
    while more := {used for one in needed for used in BY_NAME[one].uses} - needed:
        needed |= more
    return Catalogue(one for one in CATALOGUE.projections if one.name in needed)


def histories_of(name: str) -> st.SearchStrategy[dict[str, list[Event]]]:
    """Histories with many of the events that a projection folds, and a few others."""
    catalogue = with_all_it_uses(name)
    folded = {relation for one in catalogue.projections for fold in one.folds for relation in fold.relations}
    folded |= {relation for derived in folded & catalogue.derived.keys() for relation in catalogue.derived[derived].of}
    known = {known.struct for known in all_types() if "_".join(known.name.split(".")[:2]) in folded}
    told = [st.builds(struct, **fields) for struct, fields in FACTS.items() if struct in known] or [facts]
    folds = st.builds(fact, st.one_of(told), entities, moments, source=st.sampled_from(["/agents/x", "/nodes/n"]))
    mixed = st.one_of(folds, folds, folds, events)
    return st.fixed_dictionaries(
        {"east": st.lists(mixed, min_size=8, max_size=20), "west": st.lists(mixed, max_size=9)}
    )


def rows(name: str, colony: Colony) -> dict[tuple[Any, ...], Row]:
    """A read model's rows by their keys, folded from a log as it is."""
    with duckdb.connect(config={"threads": 1}) as con:
        engine = Engine((con, con.cursor()), with_all_it_uses(name), colony.log, colony.folder)
        engine.open()
        engine.catch_up()
        found = con.execute(f"from {name}")
        columns = [column for column, *_ in found.description]
        listed = [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
    return {tuple(row[column] for column in BY_NAME[name].key): row for row in listed}


def log_of(folder: Path, history: dict[str, list[Event]], chosen: set[Address] | None = None) -> Colony:
    """The history; where some are chosen, with dead letters in the others' places, so that none moves."""
    colony = Colony(folder)
    for origin, happened in history.items():
        addressed = [(Address(origin, index + 1), event) for index, event in enumerate(happened)]
        colony.append(
            [event if chosen is None or address in chosen else b"lost %d" % address.n for address, event in addressed],
            origin,
        )
    return colony


def key_of(**values: Any) -> list[KeyPart]:
    """A key whose columns have the types that its values say."""
    kinds: dict[type, str] = {int: "UBIGINT", date: "DATE", datetime: "TIMESTAMP"}
    return [KeyPart(column, kinds.get(type(value), "VARCHAR"), value) for column, value in values.items()]


def behind(lineage: Lineage, name: str, key: Row, until: dict[str, int]) -> set[Address]:
    found = lineage.behind(name, key_of(**key), until, limit=LIMIT, leash=Leash())
    assert found.total == len(found.addresses) == len(set(found.addresses))
    return set(found.addresses)


def test_every_projection_says_which_events_are_behind_its_rows() -> None:
    assert [one.name for one in CATALOGUE.projections if not one.causes] == []


@pytest.mark.parametrize("name", sorted(BY_NAME))
@settings(relaxed, max_examples=2)
@given(data=st.data())
def test_the_events_behind_a_row_alone_give_that_row_and_the_others_none_of_its_key(
    folders: Iterator[Path], name: str, data: st.DataObject
) -> None:
    history = data.draw(histories_of(name))
    with log_of(next(folders), history) as colony, closing(Lineage(CATALOGUE, colony.log, colony.folder)) as lineage:
        vector = colony.log.vector()
        known = rows(name, colony)
        touched = lineage.touched(name, {}, vector, limit=LIMIT, events_max=LIMIT, leash=Leash())
        assert {tuple(one.key.values()) for one in touched} == known.keys()
        if not touched:
            return
        one = max(touched, key=lambda one: one.events.total)
        found = behind(lineage, name, one.key, vector)
        assert found == set(one.events.addresses)
    everything = {Address(origin, n + 1) for origin, happened in history.items() for n in range(len(happened))}
    key = tuple(one.key.values())
    with log_of(next(folders), history, found) as alone, log_of(next(folders), history, everything - found) as others:
        assert rows(name, alone) == {key: known[key]}
        if BY_NAME[name].key:
            assert rows(name, others) == {place: row for place, row in known.items() if place != key}


@settings(relaxed, max_examples=6)
@given(data=st.data())
def test_rows_change_only_by_events_that_are_behind_them(folders: Iterator[Path], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(BY_NAME)))
    history = data.draw(histories_of(name))
    middle = {origin: data.draw(st.integers(0, len(happened))) for origin, happened in history.items()}
    early = {origin: happened[: middle[origin]] for origin, happened in history.items()}
    with log_of(next(folders), history) as colony, log_of(next(folders), early) as before:
        old, new = rows(name, before), rows(name, colony)
        changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        with closing(Lineage(CATALOGUE, colony.log, colony.folder)) as lineage:
            touched = lineage.touched(name, middle, colony.log.vector(), limit=LIMIT, events_max=LIMIT, leash=Leash())
        assert changed <= {tuple(one.key.values()) for one in touched}


@pytest.fixture
def spend(colony: Colony) -> Iterator[tuple[Colony, Lineage]]:
    """Five calls of two models, from two nodes."""
    call = [LlmCallCompleted(provider="p", request_model=model, input_tokens=7) for model in ("m", "n")]
    colony.append([fact(call[index % 2], f"c-{index}", index) for index in range(4)])
    colony.append([fact(call[0], "c-9"), fact(RunStarted(), "run-1")], "away")
    with closing(Lineage(CATALOGUE, colony.log, colony.folder)) as lineage:
        yield colony, lineage


def test_events_are_counted_and_listed_in_pages_by_their_addresses(spend: tuple[Colony, Lineage]) -> None:
    colony, lineage = spend
    key, vector = key_of(provider="p", model="m"), colony.log.vector()
    first = lineage.behind("cost_by_model", key, vector, limit=2, leash=Leash())
    assert first == Behind(3, [Address("away", 1), Address("here", 1)])
    second = lineage.behind("cost_by_model", key, vector, after=first.addresses[-1], limit=2, leash=Leash())
    assert second == Behind(3, [Address("here", 3)])
    assert lineage.behind("cost_by_model", key, vector, limit=0, leash=Leash()) == Behind(3, [])


def test_events_beyond_the_moment_are_behind_nothing(spend: tuple[Colony, Lineage]) -> None:
    _, lineage = spend
    key = key_of(provider="p", model="m")
    assert lineage.behind("cost_by_model", key, {"here": 2}, limit=9, leash=Leash()) == Behind(1, [Address("here", 1)])
    assert lineage.behind("cost_by_model", key, {}, limit=9, leash=Leash()) == Behind(0, [])


def test_a_key_that_is_null_has_events_of_its_own(spend: tuple[Colony, Lineage]) -> None:
    colony, lineage = spend
    assert behind(lineage, "cost_by_agent", {"agent_id": None}, colony.log.vector()) == {
        Address("away", 1),
        *(Address("here", n) for n in range(1, 5)),
    }


def test_a_column_without_any_value_is_looked_through_like_others(colony: Colony) -> None:
    """DuckDB may fail over `nullif(coalesce(skill, ''), '') = 'x'` where it knows that every skill is NULL."""
    colony.append([fact(RunStarted(agent_id="a"), "run-1")])
    with closing(Lineage(CATALOGUE, colony.log, colony.folder)) as lineage:
        key = {"hour": NOON.replace(tzinfo=None), "agent_id": "a", "skill": "x"}
        assert behind(lineage, "work_by_hour", key, {"here": 1}) == set()
        assert behind(lineage, "work_by_hour", key | {"skill": None}, {"here": 1}) == {Address("here", 1)}


def test_a_key_may_be_written_as_answers_write_it(spend: tuple[Colony, Lineage]) -> None:
    colony, lineage = spend
    row = colony.projections
    row.catch_up()
    hour = row.row("fleet_hourly", ["2026-11-20T12:00:00Z"])
    found = lineage.behind("fleet_hourly", hour.parts(), hour.vector, limit=9, leash=Leash())
    assert found.total == 6


def test_side_cars_and_open_files_tell_the_same_as_the_lines(
    folders: Iterator[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "EVENTS_WORTH_A_SEGMENT", 1)
    call = [LlmCallCompleted(provider="p", request_model=model, agent_id="a") for model in ("m", "n", "m")]
    told = [fact(call[n % 3], f"c-{n}", n) for n in range(11)]
    with Colony(next(folders), segment_events_max=4) as colony:
        colony.append(told)
        colony.log.seal_full_segments()
        side_cars = SideCars(colony.folder / "columns", colony.log)
        assert len(colony.log.segments("here")) == 2
        assert len(colony.log.unsealed("here", after=8)) == 1
        for cars in (None, side_cars):
            with closing(Lineage(CATALOGUE, colony.log, colony.folder, cars)) as lineage:
                found = behind(lineage, "cost_by_model", {"provider": "p", "model": "m"}, {"here": 10})
            assert found == {Address("here", n + 1) for n in range(10) if n % 3 != 1}
        assert side_cars.unmade() == 0


def test_side_cars_are_made_only_while_somebody_waits(folders: Iterator[Path]) -> None:
    leash = Leash()

    class Watched(SideCars):
        def make(self, segment: Segment) -> Path:
            made = super().make(segment)
            leash.cut()
            return made

    with Colony(next(folders), segment_events_max=4) as colony:
        colony.append([fact(RunStarted(), f"run-{n}") for n in range(20)])
        colony.log.seal_full_segments()
        side_cars = Watched(colony.folder / "columns", colony.log)
        with closing(Lineage(CATALOGUE, colony.log, colony.folder, side_cars)) as lineage:
            with pytest.raises(QueryFailed, match="nobody waits"):
                lineage.touched("runs", {}, colony.log.vector(), limit=9, events_max=9, leash=leash)
            assert side_cars.unmade() == len(colony.log.segments("here")) - 1
            found = lineage.touched("runs", {}, colony.log.vector(), limit=9, events_max=9, leash=Leash())
            assert len(found) == 9


def test_what_no_file_declares_can_not_be_asked(spend: tuple[Colony, Lineage]) -> None:
    colony, lineage = spend
    with pytest.raises(UnknownReadModel, match="cost_by_model"):
        lineage.behind("cost_by_modle", [], {}, limit=9, leash=Leash())
    silent = Catalogue([parse("-- projection: x   version: 1\ncreate table x (a int);", "x.sql")])
    with pytest.raises(InvalidQuestion, match="does not declare"):
        Lineage(silent, colony.log, colony.folder).behind("x", [], {}, limit=9, leash=Leash())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-- why: run_started   by: b", "its key is a"),
        ("-- why: run_started", "gives nothing"),
        ("-- why: run_begun   by: a", "run_begun"),
        ("-- why:", "expected"),
    ],
)
def test_a_declaration_that_can_not_hold_is_refused_by_name(line: str, reason: str) -> None:
    text = f"-- projection: x   version: 1   key: a\n-- Something.\n{line}\ncreate table x (a int);"
    with pytest.raises(InvalidProjection, match=reason):
        Catalogue([parse(text, "x.sql")])


def test_a_declaration_may_hold_commas_in_brackets_and_is_not_part_of_the_description() -> None:
    line = "-- why: events   by: a = list_max([n, coalesce(step, 0)]), b   where: type <> 'run.started'"
    text = f"-- projection: x   version: 1   key: a, b\n-- Something.\n{line}\ncreate table x (a int, b int);"
    projection = parse(text, "x.sql")
    assert projection.description == "Something."
    (cause,) = projection.causes
    assert cause == (("events",), {"a": "list_max([n, coalesce(step, 0)])", "b": "b"}, "type <> 'run.started'")
