"""Rows by their key, and what is said where the key is none."""

from __future__ import annotations

import pytest
from rookery.projections import InvalidQuestion, Leash
from rookery.projections.errors import InvalidKey, NoSuchRow, UnknownReadModel
from rookery.schemas import LlmCallCompleted, RunStarted

from .colony import Colony, fact


@pytest.fixture
def told(colony: Colony) -> Colony:
    """Two runs, and two calls: one whose agent is known."""
    call = (
        LlmCallCompleted(provider="p", request_model="meta/m,1", agent_id="a"),
        LlmCallCompleted(provider="p", request_model="m"),
    )
    return colony.given(
        fact(RunStarted(task="one"), "run-1"), fact(RunStarted(), "run-2"), fact(call[0], "c-1"), fact(call[1], "c-2")
    )


def test_a_row_comes_with_how_far_the_tables_were(told: Colony) -> None:
    row = told.projections.row("runs", ["run-1"])
    assert row.vector == {"here": 4}
    assert row.key == ("run_id",)
    assert row.record() == told.records("runs")[0]


def test_a_key_of_several_parts_is_read_by_its_columns_types(told: Colony) -> None:
    row = told.projections.row("cost_by_hour", ["2026-11-20T12:00:00Z", "p", "meta/m,1", "a"])
    assert row.record()["calls"] == 1
    (call,) = (call for call in told.records("llm_calls") if call["agent_id"] == "a")
    assert told.projections.row("llm_calls", ["here", "3"]).record() == call


def test_an_empty_part_is_null(told: Colony) -> None:
    assert told.projections.row("cost_by_agent", [""]).record()["agent_id"] is None


@pytest.mark.parametrize(
    ("name", "key", "said"),
    [
        ("runs", [], "told by run_id; 0 given"),
        ("cost_by_model", ["p"], "told by provider, model; 1 given"),
        ("runs", ["run-1", ""], "told by run_id; 2 given"),
        ("fleet", [], "one row, without a key"),
        ("fleet", ["x"], "one row, without a key"),
    ],
)
def test_a_key_of_the_wrong_number_of_parts_is_told_which_there_are(
    told: Colony, name: str, key: list[str], said: str
) -> None:
    with pytest.raises(InvalidKey, match=said):
        told.projections.row(name, key)


def test_a_part_that_is_not_of_its_columns_type_is_refused(told: Colony) -> None:
    with pytest.raises(InvalidQuestion, match="n: is UBIGINT"):
        told.projections.row("llm_calls", ["here", "three"])


def test_a_row_that_is_missing_is_told_with_the_nearest_that_there_are(told: Colony) -> None:
    with pytest.raises(NoSuchRow, match="did you mean 'run-1' or 'run-2'") as missing:
        told.projections.row("runs", ["run-11"])
    assert missing.value.nearest == (("run-1",), ("run-2",))
    with pytest.raises(NoSuchRow, match="rookery query runs"):
        told.projections.row("runs", ["zzz"])
    with pytest.raises(UnknownReadModel, match="runs"):
        told.projections.row("rums", ["run-1"])


def test_rows_of_many_keys_are_had_at_once_and_of_one_moment(told: Colony) -> None:
    keys = [{"agent_id": None}, {"agent_id": "nobody"}, {"agent_id": "a"}]
    with told.projections.standing() as tables:
        told.given(fact(RunStarted(), "run-3"))
        assert tables.vector == {"here": 4}
        found = tables.rows_of("cost_by_agent", keys, Leash())
        assert {record["agent_id"] for record in found.records()} == {None, "a"}
        (fleet,) = tables.rows_of("fleet", [{}], Leash()).records()
        assert fleet["runs"] == 2
