"""Examples of what the routes answer, for the OpenAPI document; each is checked against the shape that it shows."""

from __future__ import annotations

from typing import Any

_SPENDING: dict[str, Any] = {
    "llm_calls": 2,
    "llm_errors": 0,
    "input_tokens": 1_500,
    "output_tokens": 200,
    "cost_usd": "0.0034375",
    "unpriced_calls": 0,
}
_FIGURES: dict[str, Any] = {**_SPENDING, "events": 9, "messages": 3, "tool_calls": 2, "tool_errors": 1}
_PERIOD: dict[str, Any] = {**_FIGURES, "runs_started": 1, "runs_completed": 1, "runs_failed": 0, "active_agents": 1}
# No nulls: FastAPI leaves them out of the document.
_CHANGES: dict[str, Any] = {
    name: {"now": value + 4, "before": 4, "absolute": value, "relative": value / 4}
    for name, value in _PERIOD.items()
    if name not in ("active_agents", "cost_usd")
}
_COST_CHANGE = {"now": "0.0034375", "before": "0.00275", "absolute": "0.0006875", "relative": 0.25}

SUMMARY: dict[str, Any] = {
    "now": "2026-11-20T12:34:56Z",
    "totals": {
        **_FIGURES,
        "agents": 1,
        "agents_alive": 1,
        "active_agents": 1,
        "runs": 1,
        "runs_running": 0,
        "first_hour": "2026-11-20T11:00:00Z",
        "last_hour": "2026-11-20T11:00:00Z",
    },
    "hourly": [{"hour": "2026-11-20T12:00:00Z", **_PERIOD}],
    "daily": [{"day": "2026-11-20", **_PERIOD}],
    "trends": {
        "hourly": {
            "before": "2026-11-20T10:00:00Z",
            "start": "2026-11-20T11:00:00Z",
            "end": "2026-11-20T12:00:00Z",
            **_CHANGES,
            "cost_usd": _COST_CHANGE,
        },
        "daily": {
            "before": "2026-11-18T00:00:00Z",
            "start": "2026-11-19T00:00:00Z",
            "end": "2026-11-20T00:00:00Z",
            **_CHANGES,
            "cost_usd": _COST_CHANGE,
        },
    },
    "top": {
        "agents": [{"agent_id": "coder-7", **_SPENDING}],
        "models": [{"provider": "openai", "model": "gpt-4o", **_SPENDING}],
        "tools": [{"tool": "pytest", "calls": 2, "errors": 1}],
    },
}

DASHBOARD: dict[str, Any] = {
    "now": "2026-11-20T12:34:56Z",
    "charts": [
        {
            "name": "proficiency",
            "kind": "radar",
            "title": "Proficiency by skill",
            "unit": "rating",
            "labels": ["code.fix", "code.review"],
            "series": [{"name": "coder-7", "data": [0.75, 0.5]}],
            "cut": 0,
        },
        {
            "name": "cost",
            "kind": "line",
            "title": "Cost per hour",
            "unit": "USD",
            "labels": ["2026-11-20T11:00:00Z", "2026-11-20T12:00:00Z"],
            "series": [{"name": "cost_usd", "data": [0.0034375, 0.0], "exact": ["0.0034375", "0"]}],
            "cut": 0,
        },
    ],
}

_WORK: dict[str, Any] = {
    "runs_started": 3,
    "runs_completed": 2,
    "runs_failed": 1,
    "runs_cancelled": 0,
    "assignments_completed": 2,
    "assignments_failed": 0,
    "messages": 9,
    "tool_calls": 4,
    "tool_errors": 1,
    "llm_calls": 6,
    "llm_errors": 0,
    "input_tokens": 9_000,
    "output_tokens": 700,
    "unpriced_calls": 0,
}
_DIFFERENCE: dict[str, Any] = {
    **{
        name: {"now": value + 4, "before": 4, "absolute": value, "relative": value / 4} for name, value in _WORK.items()
    },
    "success_rate": {"now": 0.75, "before": 0.5, "absolute": 0.25},
    "cost_usd": _COST_CHANGE,
}

HISTORY: dict[str, Any] = {
    "by": "agent",
    "unit": "day",
    "from": "2026-11-01T00:00:00Z",
    "to": "2026-12-01T00:00:00Z",
    "rows": [
        {
            **_WORK,
            "runs_judged": 3,
            "runs_succeeded": 2,
            "success_rate": 0.6666666666666666,
            "cost_usd": "0.0295",
            "start": "2026-11-17T00:00:00Z",
            "name": "coder-7",
        }
    ],
    "truncated": False,
}

COMPARISON: dict[str, Any] = {
    "by": "agent",
    "now": {"from": "2026-11-16T00:00:00Z", "to": "2026-11-23T00:00:00Z"},
    "before": {"from": "2026-11-09T00:00:00Z", "to": "2026-11-16T00:00:00Z"},
    "total": _DIFFERENCE,
    "rows": [{**_DIFFERENCE, "name": "coder-7"}],
    "truncated": False,
}

PROFICIENCY: dict[str, Any] = {
    "now": "2026-11-20T12:34:56Z",
    "ratings": [
        {
            "agent_id": "coder-7",
            "skill": "code.review",
            "rating": 0.83,
            "low": 0.62,
            "high": 0.94,
            "uncertainty": 0.58,
            "outcomes": 41,
            "attempts": 40,
            "successes": 34,
            "success_rate": 0.829,
            "judgements": 3,
            "mean_score": 0.82,
            "trend": 0.05,
            "time_invested_seconds": 5_130.5,
            "last_at": "2026-11-20T11:58:03.25Z",
        }
    ],
    "truncated": False,
}

GAPS: dict[str, Any] = {
    "now": "2026-11-20T12:34:56Z",
    "gaps": [
        {
            "agent_id": "coder-7",
            "skill": "sql.tune",
            "kind": "unknown",
            "need": 0.88,
            "rating": {"rating": 0.55, "low": 0.12, "high": 0.91, "uncertainty": 1.1, "outcomes": 0},
        }
    ],
    "truncated": False,
}

RATING_HISTORY: dict[str, Any] = {
    "now": "2026-11-20T12:34:56Z",
    "agent_id": "coder-7",
    "skill": "code.review",
    "days": [
        {"day": "2026-11-19", "rating": 0.79, "low": 0.55, "high": 0.92, "uncertainty": 0.6, "outcomes": 35},
        {"day": "2026-11-20", "rating": 0.83, "low": 0.62, "high": 0.94, "uncertainty": 0.58, "outcomes": 41},
    ],
}
