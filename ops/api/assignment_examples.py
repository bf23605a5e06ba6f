"""What the OpenAPI document shows of the routes about assignments: examples, and what may go wrong."""

from __future__ import annotations

from typing import Any

from .told import Told

_LISTED = {
    "assignment_id": "as-42",
    "kind": "code.review",
    "status": "running",
    "agent_id": "coder-7",
    "skill": "code.review",
    "run_id": "run-9",
    "attempts": 1,
    "created_at": "2026-11-20T12:00:00.000000Z",
    "started_at": "2026-11-20T12:00:00.020000Z",
    "timeout_seconds": 60.0,
}
_HAPPENING = {
    "id": "01938f2e-7a58-7cc3-9d6b-1f0e4e6d2a12",
    "fact": "started",
    "time": "2026-11-20T12:00:00.020000Z",
    "source": "/agents/coder-7",
    "data": {"agent_id": "coder-7", "run_id": "run-9", "attempt": 1},
}
_PENDING = {
    "assignment_id": "as-42",
    "status": "pending",
    "capability": "code.review",
    "agent_id": None,
    "run_id": None,
    "attempts": 0,
    "chosen": None,
    "created_at": "2026-11-20T12:00:00Z",
    "started_at": None,
    "ended_at": None,
    "duration_seconds": None,
    "result": None,
    "error": None,
}
_RUNNING = {
    **_PENDING,
    "status": "running",
    "agent_id": "coder-7",
    "run_id": "run-9",
    "attempts": 1,
    "started_at": "2026-11-20T12:00:01Z",
}
_COMPLETED = {
    **_RUNNING,
    "status": "completed",
    "ended_at": "2026-11-20T12:00:03Z",
    "duration_seconds": 2.0,
    "result": {"findings": 3},
}
_OLD: dict[str, Any] = {
    "id": "as-42",
    "agent": "coder-7",
    "kind": "code.review",
    "status": "pending",
    "duration_minutes": 5.0,
    "created_at": "2026-11-20T12:00:00Z",
    "started_at": None,
    "completed_at": None,
    "attempts": 0,
    "error": None,
    "reasons": None,
}

_WORDS = (404, 409, 413, 422, 503, 507)

ROUTES: dict[tuple[str, str], Told] = {
    ("POST", "/assignments"): Told(
        "Give work to agents",
        answers={"application/json": _PENDING},
        body={"application/json": {"capability": "code.review", "input": {"path": "."}, "timeout_seconds": 60}},
        status=202,
        problems=(404, 409, 413, 422, 503, 507),
    ),
    ("GET", "/assignments"): Told(
        "List assignments",
        answers={"application/json": {"assignments": [_LISTED], "next": None}},
        problems=(400, 422, 503),
    ),
    ("POST", "/assignments/distribute"): Told(
        "Give practice to who needs it most",
        answers={"application/json": {"assignments": [_PENDING], "refused": []}},
        body={"application/json": {"count": 5, "skills": ["code.review"], "input": {"path": "."}}},
        status=202,
        problems=(413, 422, 503, 507),
    ),
    ("POST", "/assignments/{assignment_id}/retry"): Told(
        "Give what failed once more",
        answers={"application/json": _PENDING},
        status=202,
        problems=(404, 409, 422, 503, 507),
    ),
    ("GET", "/assignments/{assignment_id}/history"): Told(
        "Ask what happened to an assignment",
        answers={"application/json": {"assignment_id": "as-42", "history": [_HAPPENING]}},
        problems=(404, 422, 503),
    ),
    ("POST", "/assignments/{assignment_id}/cancel"): Told(
        "Call work off",
        answers={"application/json": _PENDING | {"status": "cancelled", "error": "the branch is gone"}},
        body={"application/json": {"reason": "the branch is gone"}},
        problems=(404, 409, 413, 422, 503),
    ),
    ("POST", "/assignments/{assignment_id}/start"): Told(
        "Begin work",
        answers={"application/json": _RUNNING},
        body={"application/json": {"agent_id": "coder-7", "run_id": "run-9"}},
        problems=_WORDS,
    ),
    ("POST", "/assignments/{assignment_id}/complete"): Told(
        "Say that work is done",
        answers={"application/json": _COMPLETED},
        body={"application/json": {"agent_id": "coder-7", "result": {"findings": 3}, "duration_seconds": 2}},
        problems=_WORDS,
    ),
    ("POST", "/assignments/{assignment_id}/fail"): Told(
        "Say that work failed",
        answers={"application/json": _RUNNING | {"status": "failed", "error": "no such path"}},
        body={"application/json": {"agent_id": "coder-7", "error": "no such path"}},
        problems=_WORDS,
    ),
    ("POST", "/assignments/{assignment_id}/release"): Told(
        "Give work back",
        answers={"application/json": _PENDING | {"attempts": 1}},
        body={"application/json": {"agent_id": "coder-7", "reason": "I am stopped"}},
        problems=_WORDS,
    ),
    ("GET", "/assignments/{assignment_id}"): Told(
        "Ask how an assignment stands", answers={"application/json": _COMPLETED}, problems=(404, 422, 503)
    ),
    ("POST", "/hobby/assign-to-subagent"): Told(
        "Give a task, under its old path",
        answers={
            "application/json": {"status": "assigned", "assignment_id": "as-42", "agent": "coder-7", "assignment": _OLD}
        },
        body={"application/json": {"agent": "coder-7", "kind": "code.review", "duration_minutes": 5}},
        problems=(404, 409, 413, 422, 503, 507),
    ),
    ("GET", "/hobby/assignments"): Told(
        "List assignments, under their old path",
        answers={"application/json": {"assignments": [_OLD], "total": 1}},
        problems=(400, 422, 503),
    ),
    ("GET", "/hobby/assignments/{assignment_id}"): Told(
        "Ask how an assignment stands, under its old path",
        answers={"application/json": {**_OLD, "history": [{"status": "created", "time": "2026-11-20T12:00:00Z"}]}},
        problems=(404, 422, 503),
    ),
    ("POST", "/hobby/distribute"): Told(
        "Give practice, under its old path",
        answers={"application/json": {"status": "distributed", "requested": 5, "created": 1, "assignments": [_OLD]}},
        problems=(422, 503, 507),
    ),
}
