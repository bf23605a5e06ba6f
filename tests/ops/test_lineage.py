"""Asking why, over HTTP and on the command line: a row, the events behind it, and what became of a read model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.client import Client
from rookery.schemas import Event, LlmCallCompleted, RunCompleted, RunStarted, encode

from .conftest import Rookery
from .test_api import assert_problem

MODEL = "meta/llama,3/why"


def told(client: Client) -> list[str]:
    """Publish a run with two calls, and one more call that names no run; returns their types."""
    call = {"provider": "p", "request_model": MODEL, "cost_usd": "0.5"}
    facts: list[tuple[str, Any]] = [
        ("run-1", RunStarted(task="mend it", agent_id="a")),
        ("c-1", LlmCallCompleted(run_id="run-1", agent_id="a", **call)),
        ("run-2", RunStarted()),
        ("c-2", LlmCallCompleted(run_id="run-1", **call)),
        ("run-1", RunCompleted(success=True)),
        ("c-3", LlmCallCompleted(**call)),
    ]
    events = [Event.of(fact, subject=subject, source="/agents/a") for subject, fact in facts]
    client.publish([encode(event) for event in events])
    return [event.type for event in events]


@pytest.fixture(scope="module")
def first(node: NodeProcess) -> int:
    """The n of the first event that was told; before it there is the node's own start."""
    with Client(node.node.url) as client:
        told(client)
        return int(client.get("/query/llm_calls", sort="n")["rows"][0]["n"]) - 1


@pytest.fixture
def http(node: NodeProcess, first: int) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node.node.url, timeout=60, trust_env=False) as http:
        yield http


def addresses(answer: dict[str, Any]) -> list[int]:
    assert {event["origin"] for event in answer["events"]} <= {"local"}
    return [event["n"] for event in answer["events"]]


def test_a_row_is_had_by_its_key(http: httpx.Client) -> None:
    answer = http.get("/query/runs/run-1")
    assert answer.json() == http.get("/query/runs", params={"run_id": "run-1"}).json()["rows"][0]


@pytest.mark.parametrize("key", ["p,meta%2Fllama%2C3%2Fwhy", "p,meta/llama%2C3%2Fwhy"])
def test_a_key_may_hold_commas_slashes_and_the_word_why(http: httpx.Client, key: str) -> None:
    row = http.get(f"/query/cost_by_model/{key}").json()
    assert (row["model"], row["calls"]) == (MODEL, 3)
    assert http.get(f"/query/cost_by_model/{key}/why").json()["row"] == row


def test_why_lists_the_events_behind_a_row_as_the_log_has_them(http: httpx.Client, first: int) -> None:
    answer = http.get("/query/runs/run-1/why").json()
    assert (answer["name"], answer["key"], answer["row"]["status"]) == ("runs", {"run_id": "run-1"}, "completed")
    assert addresses(answer) == [first, first + 1, first + 3, first + 4]
    assert (answer["events_total"], answer["next"]) == (4, None)
    assert answer["events"][0]["data"] == {"task": "mend it", "agent_id": "a"}


def test_why_answers_page_by_page(http: httpx.Client, first: int) -> None:
    page = http.get("/query/runs/run-1/why", params={"limit": 3}).json()
    assert (addresses(page), page["next"]) == ([first, first + 1, first + 3], f"local:{first + 3}")
    rest = http.get("/query/runs/run-1/why", params={"after": page["next"]}).json()
    assert (addresses(rest), rest["next"], rest["events_total"]) == ([first + 4], None, 4)
    none = http.get("/query/runs/run-1/why", params={"limit": 0}).json()
    assert (none["events"], none["next"], none["events_total"]) == ([], None, 4)


def test_an_empty_part_of_a_key_is_null(http: httpx.Client, first: int) -> None:
    assert http.get("/query/cost_by_agent/").json()["agent_id"] is None
    assert addresses(http.get("/query/cost_by_agent//why").json()) == [first + 3, first + 5]


def test_why_can_be_asked_of_the_past(http: httpx.Client, first: int) -> None:
    moment = f"local:{first + 1}"
    answer = http.get("/query/runs/run-1/why", params={"as_of": moment})
    assert answer.headers["rookery-as-of"] == moment
    assert answer.json()["row"]["status"] == "running"
    assert (addresses(answer.json()), answer.json()["moment"]) == ([first, first + 1], moment)
    assert http.get("/query/runs/run-1", params={"as_of": moment}).json() == answer.json()["row"]
    assert_problem(http.get("/query/runs/run-2", params={"as_of": moment}), 404, "no row of runs")


def test_diff_tells_what_changed_and_by_which_events(http: httpx.Client, first: int) -> None:
    start, end = f"local:{first + 1}", f"local:{first + 4}"
    answer = http.get("/query/runs/diff", params={"from": start, "to": end}).json()
    assert (answer["from"], answer["to"], answer["truncated"]) == (start, end, False)
    changed, added = answer["changes"]
    assert (changed["change"], changed["key"]) == ("changed", {"run_id": "run-1"})
    assert changed["columns"]["status"] == {"before": "running", "after": "completed"}
    assert changed["columns"]["cost_usd"] == {"before": "0.5", "after": "1"}
    assert (changed["events_total"], changed["events"]) == (2, [f"local:{first + 3}", f"local:{first + 4}"])
    assert (added["change"], added["after"]["run_id"], added["events"]) == ("added", "run-2", [f"local:{first + 2}"])


def test_diff_is_up_to_now_unless_told_otherwise(http: httpx.Client, first: int) -> None:
    (change,) = http.get("/query/cost_by_agent/diff", params={"from": f"local:{first + 3}"}).json()["changes"]
    assert (change["key"], change["events"]) == ({"agent_id": None}, [f"local:{first + 5}"])
    back = http.get("/query/cost_by_agent/diff", params={"from": "now", "to": f"local:{first + 1}"}).json()
    assert [change["change"] for change in back["changes"]] == ["removed"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/query/rums/run-1", 404, "did you mean 'runs'"),
        ("/query/rums/run-1/why", 404, "did you mean 'runs'"),
        ("/query/runs/run-11/why", 404, "did you mean 'run-1' or 'run-2'"),
        ("/query/runs/%00/why", 404, "no row of runs"),
        ("/query/runs/" + "x" * 30_000, 404, "no row of runs"),
        ("/query/runs/run-1" + "," * 30_000, 422, "told by run_id; 30001 given"),
        ("/query/runs/run-1,x", 422, "told by run_id; 2 given"),
        ("/query/cost_by_model/p/why", 422, "told by provider, model; 1 given"),
        ("/query/fleet/x/why", 422, "one row, without a key"),
        ("/query/llm_calls/local,x/why", 422, "n: is UBIGINT"),
        ("/query/runs/%ff/why", 422, "not UTF-8"),
        ("/query/runs/run-1/why?after=9", 422, "after: an address"),
        ("/query/runs/run-1/why?after=elsewhere:1", 422, "no origin 'elsewhere'"),
        ("/query/runs/run-1/why?limit=-1", 422, "limit"),
        ("/query/runs/run-1/why?limit=1001", 422, "limit"),
        ("/query/runs/run-1/why?as_of=9999-01-01", 422, "future"),
        ("/query/runs/run-1/why?as_of=2026-01-01", 404, "no row of runs"),
        ("/query/runs/diff", 422, "from"),
        ("/query/rums/diff?from=start", 404, "did you mean 'runs'"),
        ("/query/runs/diff?from=never", 422, "never"),
        ("/query/runs/diff?from=start&limit=0", 422, "limit"),
    ],
)
def test_what_can_not_be_asked_is_told_with_what_can(http: httpx.Client, path: str, status: int, said: str) -> None:
    assert_problem(http.get(path), status, said)


def test_the_command_line_tells_why(rookery: Rookery, first: int) -> None:
    shown = rookery("why", "runs", "run-1", "--limit", 2)
    assert shown.code == 0
    assert f"local:{first}" in shown.out
    assert "run.started" in shown.out
    assert "mend it" in shown.out
    assert "4 events behind this row" in shown.err
    assert f"--after local:{first + 1}" in shown.err
    assert rookery("why", "cost_by_model", "p", MODEL, "--json").json["events_total"] == 3
    assert rookery("why", "cost_by_agent", "", "--json").json["events_total"] == 2
    assert rookery("why", "runs", "run-1", "--as-of", f"local:{first}", "--json").json["events_total"] == 1
    assert "told by provider, model" in rookery("why", "cost_by_model").err
    assert "rookery diff" in rookery("why", "fleet").err
    assert rookery("why", "rums").code == 2
    missing = rookery("why", "runs", "run-9")
    assert (missing.code, "did you mean 'run-1'" in missing.err) == (2, True)


def test_the_command_line_tells_what_changed(rookery: Rookery, first: int) -> None:
    moments = ["--from", f"local:{first + 1}", "--to", f"local:{first + 4}"]
    shown = rookery("diff", "runs", *moments)
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0].split() == ["change", "run_id", "column", "before", "after", "events"]
    (status,) = (line for line in lines if " status " in line)
    by = [f"local:{first + 3}", f"local:{first + 4}"]
    assert status.split() == ["changed", "run-1", "status", "running", "completed", *by]
    assert any(line.split() == ["added", "run-2", f"local:{first + 2}"] for line in lines)
    assert "1 added row, 1 changed row from" in shown.err
    assert rookery("diff", "runs", *moments, "--csv").out.startswith("change,run_id,column,before,after,events\n")
    assert len(rookery("diff", "runs", *moments, "--json").json["changes"]) == 2
    nothing = rookery("diff", "runs", "--from", "now")
    assert (nothing.code, "no row changed from" in nothing.err) == (0, True)
    assert rookery("diff", "runs").code == 2
    assert rookery("diff", "../runs", "--from", "now").code == 2
