"""Assignments under the paths, and in the words, of the systems that Rookery takes the place of.

They call a task's time its duration, in minutes; who names no agent there means the best.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from ...projections import Leash
from ...schemas import MalformedEvent
from .. import assignments, distribution
from .agents import in_body
from .assignments import ASSIGNMENT_BYTES_MAX, LISTED, LISTED_MAX, Id
from .bodies import read_body
from .dependencies import BodyRoom, OpenLanes, ServingNode, in_time, json
from .past import AsOf, dated

# How those systems call things, by what they are called here; the first that is given counts.
WORDS: dict[str, tuple[str, ...]] = {
    "agent_id": ("agent", "agent_id", "subagent", "subagent_id"),
    "capability": ("kind", "type", "capability", "assignment_type"),
    "input": ("input", "task", "parameters", "description"),
    "id": ("id", "assignment_id"),
}
# Named in place of an agent, where the best is meant.
ANY = ("best", "auto", "any", "")

router = APIRouter(tags=["assignments"])

Agent = Annotated[str | None, Query(description="The agent; `best`, or none: the best of all.", examples=["coder-7"])]
Kind = Annotated[str | None, Query(description="What is to be done: a capability.", examples=["code.review"])]
Minutes = Annotated[float | None, Query(description="How long an attempt at it may take.", examples=[5.0])]
Number = Annotated[
    int, Query(ge=1, le=distribution.PRACTICE_MAX, description="How many assignments at most.", examples=[5])
]
Shown = Annotated[int, Query(ge=1, le=LISTED_MAX, description="At most so many.", examples=[100])]
Status = Annotated[
    str | None, Query(description="Only those that stand so; several with commas.", examples=["pending,running"])
]


@router.post("/hobby/assign-to-subagent")
async def assign(
    request: Request,
    node: ServingNode,
    room: BodyRoom,
    agent: Agent = None,
    kind: Kind = None,
    duration_minutes: Minutes = None,
) -> Response:
    """Give a task of a kind to an agent, or to the best one. What is asked may stand in the query or in a JSON body."""
    async with room.for_body(request, bytes_max=ASSIGNMENT_BYTES_MAX):
        body = await read_body(request, bytes_max=ASSIGNMENT_BYTES_MAX)
        asked = in_body(body, dict[str, Any]) if body.strip() else {}
        named = {"agent": agent, "kind": kind, "duration_minutes": duration_minutes}
        wanted = wanted_in(asked | {name: value for name, value in named.items() if value is not None})
        given = await assignments.give(node, wanted)
    answer = {"status": "assigned", "assignment_id": given.assignment_id, "agent": given.agent_id}
    return json(answer | {"assignment": _standing(given, wanted.timeout_seconds)})


@router.get("/hobby/assignments")
async def listed(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    status: Status = None,
    agent: Agent = None,
    kind: Kind = None,
    limit: Shown = LISTED,
    moment: AsOf = None,
) -> Response:
    """Assignments, the latest first."""
    question = assignments.question_of({"status": status, "agent_id": agent, "kind": kind}, None)
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, [assignments.MODEL], leash) as models:
            found = models.rows(assignments.MODEL, question, limit=limit, leash=leash).records()
            return json({"assignments": list(map(_row, found)), "total": len(found)})

    return dated(await in_time(request, lanes, leash, answer), moment)


@router.get("/hobby/assignments/{assignment_id:path}")
async def one(node: ServingNode, lanes: OpenLanes, assignment_id: Id, moment: AsOf = None) -> Response:
    """One assignment, with what came of it and all that happened to it."""
    if moment is not None:
        stood = await lanes.reads.run(partial(assignments.stood, node.log, assignment_id, moment))
        return dated(json(_standing(stood, None)), moment)
    found = await assignments.standing(node.bus, assignment_id)
    happened = await assignments.history(node.bus, assignment_id)
    timeout = next((one.data.get("timeout_seconds") for one in happened if one.fact == "created"), None)
    told = [{"status": each.fact, "time": each.time, "by": each.source, **each.data} for each in happened]
    return json(_standing(found, timeout) | {"history": told})


@router.post("/hobby/distribute")
async def distribute(node: ServingNode, num_assignments: Number = distribution.PRACTICE_DEFAULT) -> Response:
    """Give practice to the agents that need it most: weak areas first, and to nobody more than there is room for."""
    done = await distribution.distribute(node, distribution.Practice(count=num_assignments))
    answer = {"status": "distributed", "requested": num_assignments, "created": len(done.assignments)}
    return json(answer | {"assignments": [_standing(one, None) for one in done.assignments]})


def wanted_in(asked: dict[str, Any]) -> assignments.Wanted:
    """What a client of those systems asks for. Raises `MalformedEvent`."""
    told: dict[str, Any] = {}
    for name, words in WORDS.items():
        given = next((asked[word] for word in words if asked.get(word) is not None), None)
        if given is not None:
            told[name] = given
    if "capability" not in told:
        raise MalformedEvent(f"say what is to be done: one of {', '.join(WORDS['capability'])}", "kind")
    if told.get("agent_id", "") in ANY:
        told["agent_id"] = None
    minutes = asked.get("duration_minutes")
    if minutes is not None and not isinstance(minutes, int | float):
        raise MalformedEvent("duration_minutes: expected a number", "duration_minutes")
    seconds = None if minutes is None else minutes * 60
    wanted = {**told, "best": told.get("agent_id") is None, "timeout_seconds": seconds}
    try:
        return msgspec.convert(wanted, assignments.Wanted)
    except msgspec.ValidationError as error:
        raise MalformedEvent(str(error).replace("timeout_seconds", "duration_minutes"), "body") from None


def _standing(found: assignments.Standing, timeout_seconds: float | None) -> dict[str, Any]:
    return _old(
        found.assignment_id, found.agent_id, found.capability, found.status, timeout_seconds,
        created_at=found.created_at, started_at=found.started_at, completed_at=found.ended_at,
        attempts=found.attempts, result=found.result, error=found.error, reasons=found.chosen,
    )  # fmt: skip


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return _old(
        row["assignment_id"], row["agent_id"], row["kind"], row["status"], row["timeout_seconds"],
        created_at=row["created_at"], started_at=row["started_at"], completed_at=row["ended_at"],
        attempts=row["attempts"], error=row["error"], reasons=row["chosen"],
    )  # fmt: skip


def _old(
    assignment_id: str, agent_id: str | None, kind: str | None, status: str, seconds: float | None, **told: Any
) -> dict[str, Any]:
    """An assignment in those systems' words."""
    minutes = None if seconds is None else seconds / 60
    return {"id": assignment_id, "agent": agent_id, "kind": kind, "status": status, "duration_minutes": minutes} | told
