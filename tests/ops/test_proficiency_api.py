"""Proficiency over HTTP and on the command line, and what docs/howto/proficiency.md says of it."""

from __future__ import annotations

import csv
import io
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rookery.ops.cli.proficiency import COLUMNS, DAY_COLUMNS, GAP_COLUMNS
from rookery.ops.client import Client, RequestRefused
from rookery.ops.proficiency import AgentSkill
from rookery.projections import Catalogue
from rookery.schemas import AgentRegistered, Event, FeedbackGiven, RunCompleted, RunFailed, encode

from .conftest import Rookery

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "howto" / "proficiency.md").read_text()
NOW = datetime.now(UTC)


def told(data: object, subject: str, minutes: float) -> bytes:
    return encode(Event.of(data, subject=subject, source="/agents/x", time=NOW - timedelta(minutes=minutes)))  # type: ignore[arg-type]


@pytest.fixture(autouse=True, scope="module")
def _outcomes(node: object) -> None:
    """Ada succeeds at lint and bea doesn't; ada says that she can write, and nobody has seen it."""
    events = [told(AgentRegistered(name="ada", capabilities=["lint", "write"]), "ada", 300)]
    for index in range(40):
        ada = RunCompleted(agent_id="ada", skill="lint", success=True, duration_seconds=2)
        events.append(told(ada, f"ada-{index}", 200 - index))
        events.append(told(RunFailed(agent_id="bea", skill="lint", error="x"), f"bea-{index}", 200 - index))
    with Client(node.node.url) as client:  # type: ignore[attr-defined]
        client.publish(events)


def test_ratings_are_as_fresh_as_what_was_published(client: Client) -> None:
    (before,) = client.get("/proficiency", agent="bea", skill="lint")["ratings"]
    client.publish([told(FeedbackGiven(kind="thumb", agent_id="bea", skill="lint", run_id="bea-0", score=1.0), "f", 1)])
    (after,) = client.get("/proficiency", agent="bea", skill="lint")["ratings"]
    assert (before["judgements"], after["judgements"]) == (0, 1)
    assert before["outcomes"] == after["outcomes"] == 40, "what is judged is no further piece of work"
    assert before["rating"] < after["rating"]


def test_the_best_at_a_skill_come_first_with_what_was_observed(client: Client) -> None:
    ada, bea = client.get("/proficiency", skill="lint")["ratings"]
    assert (ada["agent_id"], bea["agent_id"]) == ("ada", "bea")
    assert 0 < bea["low"] <= bea["rating"] < 0.2 < 0.8 < ada["rating"] <= ada["high"] < 1
    assert (ada["outcomes"], ada["success_rate"], ada["time_invested_seconds"], ada["trend"]) == (40, 1.0, 80.0, None)


def test_a_rating_of_the_past_is_what_was_known_then(client: Client, rookery: Rookery) -> None:
    (past,) = client.get("/proficiency", agent="ada", skill="lint", as_of="local:4")["ratings"]
    (now,) = client.get("/proficiency", agent="ada", skill="lint")["ratings"]
    assert past["outcomes"] < now["outcomes"]
    assert past["uncertainty"] > now["uncertainty"]
    assert rookery("proficiency", "--as-of", "local:0", "--json").json["ratings"] == []


def test_a_rating_is_told_day_by_day(client: Client, rookery: Rookery) -> None:
    found = client.get("/proficiency/history", agent="ada", skill="lint", days=2)
    assert found["days"][-1]["outcomes"] == 40
    shown = rookery("proficiency", "--agent", "ada", "--skill", "lint", "--days", "2").out.split("\n")
    assert (shown[0].split(), shown[-2].split()[-1]) == (DAY_COLUMNS, "40")
    assert rookery("proficiency", "--agent", "ada", "--days", "2").code == 2


def test_gaps_of_an_agent_and_of_the_colony(client: Client, rookery: Rookery) -> None:
    found = client.get("/proficiency/gaps")["gaps"]
    assert {(gap["agent_id"], gap["skill"], gap["kind"]) for gap in found} == {
        ("ada", "write", "unknown"),
        ("bea", "lint", "weak"),
    }
    (gap,) = client.get("/proficiency/gaps", of="colony")["gaps"]
    assert (gap["agent_id"], gap["skill"]) == (None, "write")
    assert rookery("proficiency", "--gaps", "--colony", "--json").json["gaps"][0]["skill"] == "write"
    assert client.get("/proficiency/gaps", limit=1)["truncated"]
    with pytest.raises(RequestRefused):
        client.get("/proficiency/gaps", of="nobody")


def test_tables_are_for_people_and_csv_is_for_programs(rookery: Rookery) -> None:
    shown = rookery("proficiency", "--agent", "ada")
    assert shown.out.split("\n")[0].split() == COLUMNS
    assert re.search(r"ada +lint +\d\d% +\d\d% +\d\d% +0\.\d\d +40 +100%", shown.out)
    (row,) = csv.DictReader(io.StringIO(rookery("proficiency", "--agent", "ada", "--csv").out))
    assert (list(row), row["success_rate"]) == (COLUMNS, "1.0")
    assert rookery("proficiency", "--gaps").out.split("\n")[0].split() == GAP_COLUMNS
    assert rookery("proficiency", "--colony").code == 2
    assert "--limit" in rookery("proficiency", "--limit", "1").err


def test_the_page_names_every_figure_and_its_commands_run(rookery: Rookery) -> None:
    figures = PAGE.partition("## Rating or success rate?")[0]
    named = set(re.findall(r"`(\w+)`", figures))
    assert set(AgentSkill.__struct_fields__) - {"agent_id", "skill", "attempts", "successes", "last_at"} <= named
    for command in re.findall(r"^\$ rookery (.*)$|`rookery (proficiency[^`…]*)`", PAGE, re.MULTILINE):
        ran = rookery(*shlex.split("".join(command)))
        assert ran.code == 0, (command, ran.err)


def test_the_page_names_every_event_that_counts() -> None:
    (outcome,) = (one for one in Catalogue.of_folder().derived.values() if one.name == "outcome")
    counted = PAGE.partition("## What counts")[2].partition("## Gaps")[0]
    named = set(re.findall(r"`((?:assignment|run|feedback)\.\w+)`", counted))
    assert {name.replace(".", "_") for name in named} == outcome.of
