"""The command line against a running node: what it prints, and what it refuses."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from rookery.ops.client import Client, NodeUnreachable
from rookery.schemas import Event, RunStarted, encode

from .conftest import Rookery

REGISTERED = ("publish", "agent.registered", "coder-7", "--data", '{"name": "Coder", "capabilities": ["code.review"]}')


def test_a_published_event_is_seen_by_the_next_query(rookery: Rookery) -> None:
    assert rookery(*REGISTERED).code == 0
    (agent,) = [row for row in rookery("query", "agents", "--json").json if row["agent_id"] == "coder-7"]
    assert (agent["name"], agent["capabilities"]) == ("Coder", ["code.review"])


@pytest.mark.parametrize(
    ("type", "data", "field"),
    [
        ("agent.registered", "{}", "data.name"),
        ("agent.registered", '{"name": 7}', "data.name"),
        ("agent.registered", '{"name": "a", "capability": []}', "data.capability"),
        ("agent.registerd", '{"name": "a"}', "agent.registered"),
        ("llm_call.completed", '{"provider": "a", "request_model": "b", "cost_usd": 0.1}', "data.cost_usd"),
        ("agent.registered", "{", "data"),
        ("Agent", "{}", "type"),
    ],
)
def test_an_invalid_event_is_refused_with_exit_code_2_and_the_field(
    rookery: Rookery, type: str, data: str, field: str
) -> None:
    before = rookery("status", "--json").json["events"]
    refused = rookery("publish", type, "x", "--data", data)
    assert refused.code == 2
    assert field in refused.err
    assert rookery("status", "--json").json["events"] == before


def test_an_id_is_published_once(rookery: Rookery) -> None:
    once = ("publish", "run.started", "run-once", "--id", "run-once-started", "--json")
    assert rookery(*once).json["new"] == 1
    again = rookery(*once).json
    assert (again["new"], again["duplicates"]) == (0, 1)


def test_sql_sees_the_read_models_and_the_log(rookery: Rookery) -> None:
    rookery("publish", "run.started", "run-sql", "--id", "run-sql-started", "--data", '{"task": "ask"}')
    statement = """select e.origin, e.n, e.type, e.source, e.subject, e.data ->> 'task' as task, r.status
                   from events e join runs r on r.run_id = e.subject where e.id = 'run-sql-started'"""
    (row,) = rookery("sql", statement, "--json").json
    assert (row["origin"], row["type"], row["subject"], row["task"]) == ("local", "run.started", "run-sql", "ask")
    assert (row["source"], row["status"]) == ("/people/operator", "running")


@pytest.mark.parametrize(
    "statement",
    [
        "drop table runs",
        "select 1; select 2",
        "copy runs to '/tmp/x'",
        "attach '/tmp/x.db'",
        "select * from nowhere",
        "selec",
    ],
)
def test_sql_that_is_wrong_or_writes_is_refused(rookery: Rookery, statement: str) -> None:
    refused = rookery("sql", statement)
    assert refused.code == 2
    assert refused.err.startswith("error: ")


def test_money_is_a_decimal_string_to_the_last_place(rookery: Rookery) -> None:
    for call, cost in (("a", "0.000000000001"), ("b", "123456789012.12")):
        data = {"provider": "p", "request_model": "exact", "cost_usd": cost}
        rookery("publish", "llm_call.completed", f"exact-{call}", "--data", json.dumps(data))
    (row,) = [row for row in rookery("query", "cost_by_model", "--json").json if row["model"] == "exact"]
    assert row["cost_usd"] == "123456789012.120000000001"


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("answer", [b"<html>", b'{"a":"\xff"}', b"[" * 5_000 + b"]" * 5_000])
def test_whatever_a_stranger_answers_is_said_to_be_no_nodes(status: int, answer: bytes) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Stranger) as server, Client(f"http://127.0.0.1:{server.server_port}") as client:
        threading.Thread(target=server.handle_request).start()
        with pytest.raises(NodeUnreachable, match="not from Rookery"):
            client.get("/status")


def test_status_tells_events_origins_lags_and_the_bus(rookery: Rookery) -> None:
    status = rookery("status", "--json").json
    assert status["events"] == sum(origin["events"] for origin in status["origins"])
    assert {model["lag_events"] for model in status["projections"]} == {0}
    assert status["bus"]["connected"]
    assert "read models, level with the log" in rookery("status").out


def test_tail_prints_the_last_events_and_stops_where_it_is_told(rookery: Rookery) -> None:
    for number in range(3):
        rookery("publish", "run.started", f"run-tail-{number}")
    lines = rookery("tail", "--last", 3, "--no-follow", "--json").out.splitlines()
    assert [json.loads(line)["subject"] for line in lines] == ["run-tail-0", "run-tail-1", "run-tail-2"]
    (line,) = rookery("tail", "--after", "local:0", "--entity", "run/run-tail-1", "--limit", 1).out.splitlines()
    assert "run.started" in line


def test_a_dead_letter_is_kept_listed_and_in_no_read_model(rookery: Rookery, client: Client) -> None:
    stranger = encode(Event.of(RunStarted(), subject="r", source="/agents/a")).replace(
        b"run.started", b"run.teleported"
    )
    assert rookery("dead-letters", "--json").json == []
    refused = client.publish([stranger])
    assert "unknown event type" in refused["refusals"][0]["reason"]


def test_rebuilding_changes_no_digest(rookery: Rookery) -> None:
    report = rookery("rebuild", "--json").json
    assert report["events"] == rookery("status", "--json").json["events"]
    assert report["digests_before"] == report["digests_after"]
    assert {"runs", "agents", "cost_by_model"} <= report["digests_after"].keys()


def test_the_read_models_describe_themselves(rookery: Rookery) -> None:
    models = {model["name"]: model for model in rookery("query", "--json").json}
    assert {"agents", "runs", "assignments", "tool_use", "llm_calls", "cost_by_model", "proficiency"} <= models.keys()
    assert all(model["description"] for model in models.values())


def test_an_unknown_read_model_is_told_the_nearest(rookery: Rookery) -> None:
    refused = rookery("query", "run")
    assert (refused.code, "did you mean 'runs'?" in refused.err) == (2, True)


def test_no_node_at_the_url_says_how_to_start_one(rookery: Rookery) -> None:
    failed = rookery("status", "--url", "http://127.0.0.1:9")
    assert failed.code == 1
    assert "rookery up" in failed.err


@pytest.mark.parametrize("format", ["--json", "--csv"])
def test_rows_come_as_json_or_csv(rookery: Rookery, format: str) -> None:
    out = rookery("sql", "select 1 as one, null as none, 'a,b' as text", format).out
    assert out == {"--json": '[{"one":1,"none":null,"text":"a,b"}]\n', "--csv": 'one,none,text\n1,,"a,b"\n'}[format]
