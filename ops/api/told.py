"""What is told of each route in the OpenAPI document that its code doesn't say: examples, formats, problems."""

from __future__ import annotations

from typing import Any, NamedTuple

from .bodies import BATCH, NDJSON
from .negotiation import MEDIA_TYPES

BINARY = b""  # in place of an example, for what can't be shown


class Told(NamedTuple):
    """A route's summary; examples of what it takes and answers, by media type; the status of success; its problems."""

    summary: str = ""
    answers: dict[str, Any] | None = None
    body: dict[str, Any] | None = None
    status: int = 200
    problems: tuple[int, ...] = ()


# By status: what it is called, and what one says.
PROBLEMS: dict[int, tuple[str, str]] = {
    400: ("Bad Request", "not done after 30 seconds; ask for less, or allow more time"),
    404: ("Not Found", "no read model is named 'run'; did you mean 'runs'?"),
    406: ("Not Acceptable", "'image/png' is not offered; there are application/json (format=json), …"),
    409: ("Conflict", "the read models are being rebuilt already; wait for that, or end it with DELETE /rebuild"),
    413: ("Request Entity Too Large", "a request may bring 10,000 events, and this one brings more; send several"),
    415: ("Unsupported Media Type", "send application/sparql-query, or a form as application/x-www-form-urlencoded"),
    422: ("Unprocessable Entity", "query.limit: Input should be greater than or equal to 0"),
    424: ("Failed Dependency", "nothing came from https://agents.example.com: it answers 404"),
    503: (
        "Service Unavailable",
        "72 queries are under way or waiting, which is as many as there may be; try again later",
    ),
    507: ("Insufficient Storage", "only 12 MiB are free for rookery-data: free some space"),
}

EVENT = {
    "specversion": "1.0",
    "id": "01938f2e-7a58-7cc3-9d6b-1f0e4e6d2a11",
    "type": "run.started",
    "source": "/agents/coder-7",
    "subject": "run-9",
    "time": "2026-11-20T12:00:00Z",
    "data": {"agent_id": "coder-7", "task": "Review the diff"},
}
_KEPT = {"origin": "local", "n": 42, "seq": 42, "recordedtime": "2026-11-20T12:00:00.004Z", **EVENT}
_COLUMNS = [{"name": "run_id", "type": "VARCHAR", "description": "The run."}]
_PAGE = {"columns": _COLUMNS, "rows": [{"run_id": "run-9"}], "truncated": True, "next": "WyJydW4tOSJd"}
_LINE = '{"run_id":"run-9"}\n'
_ROWS = dict(zip(MEDIA_TYPES.values(), [_PAGE, _LINE, "run_id\nrun-9\n", BINARY, BINARY], strict=True))
_SETTLED = {
    "reaction_id": "5d3f0d9e-6a5b-5d8e-9f0a-0c1d2e3f4a5b",
    "reaction": "alerts.report_failed_run",
    "entity": "run/run-9",
    "cause": "local:42",
}
_NODE = {
    "id": "urn:rookery:run:run-9",
    "name": "run/run-9",
    "label": "run-9",
    "types": ["Activity", "Run"],
}
_EDGE = {
    "source": "urn:rookery:run:run-9",
    "target": "urn:rookery:tool:pytest",
    "label": "usedTool",
    "predicate": "https://rookery.dev/ns#usedTool",
    "inferred": False,
    "events": ["local:5"],
}
_BINDING = {"agent": {"type": "uri", "value": "urn:rookery:agent:coder-7"}}
_FOUND: dict[str, Any] = {
    "application/sparql-results+json": {"head": {"vars": ["agent"]}, "results": {"bindings": [_BINDING]}},
    "application/sparql-results+xml": "<sparql xmlns='http://www.w3.org/2005/sparql-results#'>…</sparql>",
    "text/csv": "agent\r\nurn:rookery:agent:coder-7\r\n",
    "text/tab-separated-values": "?agent\n<urn:rookery:agent:coder-7>\n",
    "text/turtle": "<urn:rookery:agent:coder-7> a rk:Agent .",
}

_TEXT = "sealed:1:ds-k5cq2h7nq4v3x6w2m5o7t4r3ya:q8fT0rE3yZ0n1u7m3n5v2A:l0dE9WmQx7cLr8xS1m2uJ0c5dO3a7w4tB6y"
_EXPORT = {"format": "rookery.vault.v1", "salt": "…", "nonce": "…", "keys": "…"}
SEALED = EVENT | {
    "datasubject": "ds-k5cq2h7nq4v3x6w2m5o7t4r3ya",
    "data": {"agent_id": "coder-7", "task": _TEXT},
}

PARAMETERS: dict[str, tuple[str, Any]] = {
    "about": ("Only what is said of this IRI.", "urn:rookery:agent:coder-7"),
    "after": ("Start behind this position.", "local:41"),
    "agent": ("Only what this agent did, or what is about it.", "coder-7"),
    "agents": ("How many agents.", 5),
    "as_of": ("Answer as a node that had stopped then.", "2026-11-17T09:00Z"),
    "assignment_id": ("The assignment's id.", "as-42"),
    "cursor": ("Go on behind a page.", "WyJydW4tOSJd"),
    "days": ("How many days.", 30),
    "depth": ("How many edges away.", 1),
    "entity": ("Only this entity's.", "run/run-9"),
    "follow": ("Stay.", False),
    "format": ("The format to answer in.", "json"),
    "from": ("Where the way begins.", "agent/coder-7"),
    "hours": ("How many hours.", 24),
    "last": ("Start so many events before the end.", 10),
    "limit": ("At most so many.", 20),
    "name": ("What it is called: a read model, or a thing in the graph.", "runs"),
    "now": ("As of this time.", "2026-11-20T12:34:56Z"),
    "query": ("The question.", "SELECT ?agent {?agent a rk:Agent}"),
    "reveal": ("Read what is sealed.", False),
    "select": ("Only these columns.", "run_id,status"),
    "since": ("Only what happened at this time or later.", "2026-11-20T12:00:00Z"),
    "sort": ("Order by these columns.", "-started_at,run_id"),
    "source": ("Only from this source.", "/agents/coder-7"),
    "to": ("Where the way ends.", "run/run-9"),
    "top": ("How many to list.", 10),
    "type": ("Only these event types.", ["run.started"]),
    "until": ("Only what happened before this time.", "2026-11-20T13:00:00Z"),
    "wait": ("Answer when the events are durable on the bus, in the log, or visible to queries.", "visible"),
    "wait_seconds": ("How long to wait for its end.", 0.5),
    "wait_for": ("Answer when the read models hold this event.", "local:41"),
}
NAMES: dict[str, Any] = {"description": PARAMETERS["name"][0]}

ROUTES: dict[tuple[str, str], Told] = {
    ("POST", "/events"): Told(
        "Publish events",
        answers={"application/json": {"new": 1, "duplicates": 0, "refusals": [], "sequence": 42}},
        body={"application/cloudevents+json": EVENT, BATCH: [EVENT], NDJSON: "{…}\n{…}\n"},
        status=202,
        problems=(413, 422, 503, 507),
    ),
    ("GET", "/events"): Told(
        "Read and follow the log",
        answers={NDJSON: f"{_KEPT}\n".replace("'", '"'), "text/event-stream": "id: local:42\ndata: {…}\n\n"},
        problems=(422, 503),
    ),
    ("GET", "/dead-letters"): Told(
        "List the events that no read model holds, and the reactions that are parked",
        answers={
            "application/json": [
                {
                    "kind": "event",
                    "address": "local:43",
                    "entity": "run/run-9",
                    "reason": "unknown event type 'run.teleported'",
                    "fault": "unknown_type",
                    "field": "type",
                    "type": "run.teleported",
                    "id": EVENT["id"],
                    "recordedtime": "2026-11-20T12:00:00Z",
                    "payload": "{…}",
                    "attempts": None,
                    "later_events": 2,
                }
            ]
        },
        problems=(400, 422, 503),
    ),
    ("POST", "/dead-letters/redrive"): Told(
        "Try parked reactions once more",
        answers={"application/json": [_SETTLED]},
        body={"application/json": {"entity": "run/run-9"}},
        problems=(404, 409, 413, 422, 503),
    ),
    ("POST", "/dead-letters/discard"): Told(
        "Give parked reactions up",
        answers={"application/json": [_SETTLED]},
        body={"application/json": {"entity": "run/run-9", "reason": "the pager that it was for is gone"}},
        problems=(404, 409, 413, 422, 503),
    ),
    ("GET", "/query"): Told(
        "List the read models",
        answers={
            "application/json": [{"name": "runs", "version": 1, "description": "One row per run.", "columns": _COLUMNS}]
        },
        problems=(503,),
    ),
    ("GET", "/query/{name}"): Told("Ask a read model", answers=_ROWS, problems=(400, 404, 406, 422, 503)),
    ("GET", "/query/{name}/{key}"): Told(problems=(400, 404, 422, 503)),
    ("GET", "/query/{name}/{key}/why"): Told(problems=(400, 404, 422, 503)),
    ("GET", "/query/{name}/diff"): Told(problems=(400, 404, 422, 503)),
    ("POST", "/sql"): Told(
        "Ask in SQL",
        answers=_ROWS,
        body={
            "application/json": {"sql": "select count(*) as n from runs where status = ?", "parameters": ["running"]}
        },
        problems=(400, 406, 413, 422, 503),
    ),
    ("POST", "/rebuild"): Told(problems=(409, 422, 503)),
    ("DELETE", "/rebuild"): Told(problems=(404,)),
    ("POST", "/rebuild/verify"): Told(problems=(409, 422, 503)),
    ("POST", "/rebuild/rollback"): Told(problems=(409, 422, 503)),
    ("GET", "/hobby/metrics/prometheus"): Told(answers={"text/plain": "rookery_events_total 4711.0\n"}),
    ("GET", "/metrics"): Told("Metrics for Prometheus"),
    ("GET", "/hobby/metrics/summary"): Told("The colony in numbers", problems=(422, 503)),
    ("GET", "/hobby/dashboard"): Told("The colony in charts", problems=(422, 503)),
    ("GET", "/history"): Told("What was done, period by period", problems=(422, 503)),
    ("GET", "/hobby/archive/history"): Told("What was done, period by period", problems=(422, 503)),
    ("GET", "/history/compare"): Told("Two periods beside each other", problems=(422, 503)),
    ("GET", "/proficiency"): Told("How good each agent is at what", problems=(422, 503)),
    ("GET", "/proficiency/history"): Told("A rating day by day", problems=(422, 503)),
    ("GET", "/proficiency/gaps"): Told("What agents or the colony lack", problems=(422, 503)),
    ("GET", "/sparql"): Told("Ask the graph in SPARQL", answers=_FOUND, problems=(400, 406, 422, 503)),
    ("POST", "/sparql"): Told(
        "Ask the graph in SPARQL, with the query as the body",
        answers=_FOUND,
        body={
            "application/sparql-query": "SELECT ?agent {?agent a rk:Agent}",
            "application/x-www-form-urlencoded": "query=ASK%7B%7D",
        },
        problems=(400, 406, 413, 415, 503),
    ),
    ("GET", "/graph/neighbours/{name}"): Told(
        "What is near a thing",
        answers={"application/json": {"nodes": [_NODE], "edges": [_EDGE], "truncated": False}},
        problems=(404, 422, 503),
    ),
    ("GET", "/graph/path"): Told(
        "How two things hang together",
        answers={"application/json": {"nodes": [_NODE], "edges": [_EDGE]}},
        problems=(404, 422, 503),
    ),
    ("GET", "/graph/communities"): Told(
        "What belongs together",
        answers={"application/json": {"communities": [{"community": 0, "size": 5, "around": _NODE["id"]}]}},
        problems=(422, 503),
    ),
    ("GET", "/graph/stats"): Told(
        "How much there is of what",
        answers={"application/json": {"triples": 606, "classes": [{"name": "https://rookery.dev/ns#Tool"}]}},
        problems=(503,),
    ),
    ("GET", "/graph"): Told(
        "Take the graph along", answers={"text/turtle": "<urn:rookery:agent:coder-7> a rk:Agent ."}, problems=(400, 406)
    ),
    ("POST", "/graph"): Told(
        "Add reference data",
        answers={"application/json": {"graph": "urn:rookery:import:7bc0d256", "triples": 1}},
        body={"text/turtle": "<urn:x:a> <urn:x:b> <urn:x:c> ."},
        status=201,
        problems=(413, 415, 422, 503),
    ),
    ("POST", "/vault/seal"): Told(
        "Seal what is personal in an event",
        answers={"application/cloudevents+json": SEALED},
        body={"application/cloudevents+json": EVENT | {"datasubject": "user-17"}},
        problems=(413, 422, 503),
    ),
    ("POST", "/vault/reveal"): Told(
        "Reveal what is sealed",
        answers={"text/plain": "Review the diff", NDJSON: "{…}\n"},
        body={"text/plain": _TEXT, "application/json": {"task": _TEXT}, NDJSON: "{…}\n"},
        problems=(413, 422, 503),
    ),
    ("POST", "/vault/forget"): Told(body={"application/json": {"subject": "user-17"}}, problems=(404, 413, 422, 503)),
    ("POST", "/vault/export"): Told(
        "Take keys along",
        answers={"application/json": _EXPORT},
        body={"application/json": {"passphrase": "correct horse battery", "subjects": ["user-17"]}},
        problems=(413, 422, 503),
    ),
    ("POST", "/vault/import"): Told(
        body={"application/json": {"passphrase": "correct horse battery", "export": "{…}"}}, problems=(413, 422, 503)
    ),
    ("GET", "/snapshot"): Told(problems=(404,)),
    ("POST", "/snapshot"): Told(problems=(503,)),
}
