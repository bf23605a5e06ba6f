"""What folds name is loaded, and nothing else; a field that an event leaves out has the value that this stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
from rookery.projections.loader import Batch, Loader
from rookery.projections.relations import ENVELOPE, relations
from rookery.projections.selection import Selection
from rookery.schemas import EventData, FeedbackGiven, LlmCallCompleted, LlmCallFailed, RunStarted

from .colony import Colony, fact


def loaded(folder: Path, selection: Selection, *facts: EventData) -> duckdb.DuckDBPyConnection:
    """A connection in which these facts are loaded."""
    con = duckdb.connect()
    with Colony(folder) as colony:
        colony.append(fact(data, f"thing-{number}") for number, data in enumerate(facts))
        loader = Loader(colony.log, selection, folder)
        loader.prepare(con)
        loader.load(con, Batch("here", 1, len(facts)))
    return con


def columns(con: duckdb.DuckDBPyConnection, relation: str) -> list[Any]:
    return [column for column, *_ in con.execute(f"from {relation}").description]


def test_only_what_some_statement_names_is_loaded(tmp_path: Path) -> None:
    selection = Selection(["select agent_id, happened from run_started", "select tool from events"])
    con = loaded(tmp_path, selection, RunStarted(agent_id="coder-7", task="Fix it"))
    assert columns(con, "events") == ["happened", "type", "agent_id", "tool"]
    assert columns(con, "run_started") == ["happened", "type", "agent_id"]
    views = con.execute("select view_name from duckdb_views() where temporary and not internal").fetchall()
    assert views == [("run_started",)]


def test_everything_can_be_selected(tmp_path: Path) -> None:
    con = loaded(tmp_path, Selection.of_everything(), RunStarted())
    for name, relation in relations().items():
        assert columns(con, name) == [*ENVELOPE, *(field.name for field in relation.fields)]


def test_an_absent_field_has_the_default_of_its_own_type(tmp_path: Path) -> None:
    facts = (
        LlmCallCompleted(provider="openai", request_model="gpt-4o"),
        LlmCallFailed(provider="openai", request_model="gpt-4o", error="429"),
        RunStarted(),
    )
    con = loaded(tmp_path, Selection.of_everything(), *facts)
    found = con.execute("select operation, usage_source, clock from events order by n").fetchall()
    assert found == [("chat", "provider", None), ("chat", "unknown", None), (None, None, "wall")]


def test_a_type_is_named_without_its_version(tmp_path: Path) -> None:
    con = loaded(tmp_path, Selection.of_everything(), FeedbackGiven(kind="score", score=0.5))
    assert con.execute("select type from events").fetchall() == [("feedback.given",)]
    assert con.execute("select type from feedback_given").fetchall() == [("feedback.given",)]
