"""What the OpenAPI document shows of the routes about agents: examples, and what may go wrong."""

from __future__ import annotations

from typing import Any

from ...handlers.a2a import LIVENESS
from .told import Told

# No nulls: FastAPI leaves them out of the document.
AGENT: dict[str, Any] = {
    "agent_id": "coder-7",
    "name": "Coder",
    "role": "coder",
    "description": "Writes and mends Python.",
    "tier": "execution",
    "parent_agent_id": "code-coordinator",
    "capabilities": ["code.fix", "code.review"],
    "transport": "nats",
    "version": "1.2",
    "state": "alive",
    "state_since": "2026-11-20T12:00:00Z",
    "incarnation": 3,
    "heartbeat_interval_seconds": 10.0,
    "registered_at": "2026-11-20T12:00:00Z",
    "last_seen_at": "2026-11-20T12:34:50Z",
    "active_assignments": 1,
    "assignments_max": 5,
    "metadata": {"host": "box-2"},
    "catalogue": "polyglot-swarm",
}
_WORK: dict[str, Any] = {
    "begun": 12,
    "running": 1,
    "completed": 9,
    "failed": 1,
    "timed_out": 0,
    "cancelled": 0,
    "released": 1,
    "success_rate": 0.9,
    "mean_score": 0.8,
    "mean_seconds": 4.2,
    "median_seconds": 3.5,
    "p95_seconds": 9.0,
    "llm_calls": 30,
    "input_tokens": 42_000,
    "output_tokens": 5_000,
    "cost_usd": "0.155",
    "unpriced_calls": 0,
    "last_started_at": "2026-11-20T12:34:00Z",
    "last_ended_at": "2026-11-20T12:33:50Z",
}
ONE_AGENT = {**AGENT, "stats": _WORK}
AGENT_WORK = {"agent_id": "coder-7", "name": "Coder", "state": "alive", **_WORK}
LOADED = {"catalogue": "polyglot-swarm", "agents": 57, "declared": 57, "unchanged": 0}
_BRANCH = {"agent_id": "coder-7", "name": "Coder", "role": "coder", "tier": "execution", "state": "alive"}
_ROOT = {"agent_id": "code-coordinator", "role": "coordinator", "tier": "coordinator", "state": "alive"}
TREE = {
    "agents": 2,
    "truncated": False,
    "roots": [{**_ROOT, "children": [{**_BRANCH, "parent_agent_id": "code-coordinator"}]}],
}
_REGISTRATION = {
    "agent_id": "coder-7",
    "name": "Coder",
    "role": "coder",
    "tier": "execution",
    "capabilities": ["code.fix", "code.review"],
    "heartbeat_interval_seconds": 10,
}
_OLD_REGISTRATION = {"name": "coder-7", "type": "coder", "tier": "execution", "capabilities": ["code.fix"]}
_CATALOGUE = {
    "name": "pair",
    "version": "1",
    "agents": [
        {
            "id": "coder-7",
            "name": "Coder",
            "description": "Writes and mends Python.",
            "role": "coder",
            "tier": "execution",
            "capabilities": ["code.fix"],
            "transport": "nats",
        }
    ],
}
_SERVICE = {
    "id": "coder-7",
    "name": "Coder",
    "type": "coder",
    "tier": "execution",
    "parent": "code-coordinator",
    "capabilities": ["code.fix", "code.review"],
    "transport": "nats",
    "status": "alive",
    "healthy": True,
    "last_heartbeat": "2026-11-20T12:34:50Z",
}
_OLD_WORK = {
    "name": "Coder",
    "status": "alive",
    "total_assignments": 12,
    "active_assignments": 1,
    "completed_assignments": 9,
    "failed_assignments": 1,
    "success_rate": 0.9,
    "average_duration_seconds": 4.2,
    "total_cost_usd": "0.155",
    "load": 1,
}
_OLD_STATS = {
    "total_agents": 1,
    "active_agents": 1,
    "total_assignments": 12,
    "completed_assignments": 9,
    "failed_assignments": 1,
    "success_rate": 0.9,
    "agents": {"coder-7": _OLD_WORK},
}
_CHANGING = (404, 409, 413, 422, 503, 507)

_SKILL = {"id": "code.fix", "name": "code fix", "description": "Work of the kind `code.fix`.", "tags": ["code"]}
_LIVENESS = {
    "uri": LIVENESS,
    "description": "Whether it is alive, by what was heard of it.",
    "params": {"state": "alive", "asOf": "2026-11-20T12:34:56Z", "lastSeenAt": "2026-11-20T12:34:50Z"},
}
_CARD = {
    "name": "Coder",
    "description": "Writes and mends Python.",
    "version": "1.2",
    "supportedInterfaces": [
        {
            "url": "http://127.0.0.1:8800/agents/coder-7/a2a",
            "protocolBinding": "JSONRPC",
            "protocolVersion": "1.0",
        }
    ],
    "capabilities": {"extensions": [_LIVENESS]},
    "defaultInputModes": ["application/json", "text/plain"],
    "defaultOutputModes": ["application/json", "text/plain"],
    "skills": [_SKILL],
}
_MESSAGE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "SendMessage",
    "params": {
        "message": {
            "messageId": "msg-1",
            "role": "ROLE_USER",
            "parts": [{"text": "Mend the build."}],
            "metadata": {"skill": "code.fix"},
        }
    },
}
_TASK = {
    "jsonrpc": "2.0",
    "id": 1,
    "result": {
        "task": {
            "id": "as-42",
            "contextId": "as-42",
            "status": {"state": "TASK_STATE_COMPLETED", "timestamp": "2026-11-20T12:35:00Z"},
            "artifacts": [{"artifactId": "result", "name": "result", "parts": [{"text": "Done."}]}],
        }
    },
}

ROUTES: dict[tuple[str, str], Told] = {
    ("GET", "/.well-known/agent-card.json"): Told(
        "The colony's agent card", answers={"application/json": _CARD | {"name": "Rookery local"}}, problems=(503,)
    ),
    ("GET", "/agents/{agent_id}/agent-card.json"): Told(
        "An agent's card", answers={"application/json": _CARD}, problems=(404, 422, 503)
    ),
    ("POST", "/a2a"): Told(
        "Send the colony a message",
        answers={"application/json": _TASK},
        body={"application/json": _MESSAGE},
        problems=(413, 503, 507),
    ),
    ("POST", "/agents/{agent_id}/a2a"): Told(
        "Send an agent a message",
        answers={"application/json": _TASK},
        body={"application/json": _MESSAGE},
        problems=(404, 413, 422, 503, 507),
    ),
    ("POST", "/agents/cards"): Told(
        "Register an agent of elsewhere by its card",
        body={"application/json": {"url": "https://agents.example.com"}},
        status=201,
        problems=(409, 413, 422, 424, 503, 507),
    ),
    ("GET", "/agents"): Told("Find agents", problems=(422, 503)),
    ("GET", "/agents/tree"): Told("See who answers to whom", answers={"application/json": TREE}, problems=(422, 503)),
    ("GET", "/agents/stats"): Told("What came of each agent's work", problems=(422, 503)),
    ("GET", "/agents/{agent_id}"): Told("Look at one agent", problems=(404, 422, 503)),
    ("POST", "/agents"): Told(
        "Register an agent", body={"application/json": _REGISTRATION}, status=201, problems=_CHANGING
    ),
    ("POST", "/agents/catalogue"): Told(
        "Load a catalogue", body={"application/json": _CATALOGUE}, problems=(409, 413, 422, 503, 507)
    ),
    ("PATCH", "/agents/{agent_id}"): Told(
        "Change an agent", body={"application/json": {"role": "reviewer", "parent_agent_id": None}}, problems=_CHANGING
    ),
    ("DELETE", "/agents/{agent_id}"): Told("Unregister an agent", problems=(404, 409, 422, 503, 507)),
    ("POST", "/hobby/subagents/register"): Told(
        "Register an agent",
        answers={
            "application/json": {"status": "registered", "agent_id": "coder-7", "incarnation": 1, "agent": _SERVICE}
        },
        body={"application/json": _OLD_REGISTRATION},
        problems=(413, 422, 503, 507),
    ),
    ("DELETE", "/hobby/subagents/{agent_id}"): Told(
        "Unregister an agent",
        answers={"application/json": {"status": "unregistered", "agent_id": "coder-7"}},
        problems=(404, 409, 422, 503, 507),
    ),
    ("GET", "/hobby/subagents/stats"): Told(
        "What came of each agent's work", answers={"application/json": _OLD_STATS}, problems=(422, 503)
    ),
    ("GET", "/api/services"): Told(
        "Find agents", answers={"application/json": {"services": [_SERVICE], "total": 1}}, problems=(422, 503)
    ),
    ("GET", "/api/tree"): Told(
        "See who answers to whom",
        answers={"application/json": {"tree": [_SERVICE | {"children": []}], "total": 1}},
        problems=(422, 503),
    ),
}
