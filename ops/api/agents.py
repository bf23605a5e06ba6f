"""Agents over HTTP: finding them, their hierarchy and statistics; registering, changing and striking them off."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from ...handlers.fleet import AgentRecord, Update
from ...projections import Leash
from ...schemas import MalformedEvent
from ...schemas.catalogues import CATALOGUE_BYTES_MAX, catalogue_in
from .. import agents as found
from ..agents import AGENTS, AGENTS_MAX, STATS, Agent, Agents, Filters, OneAgent, Stats, states_in
from ..node import Node, Wait
from ..roster import Loaded, Registration, Roster
from .agent_examples import AGENT, AGENT_WORK, LOADED, ONE_AGENT
from .bodies import read_body
from .dependencies import BodyRoom, OpenLanes, ServingNode, in_time, json
from .past import AsOf, dated
from .shapes import answers

REGISTRATION_BYTES_MAX = 256 * 1024
LISTED = 1_000

Asked = TypeVar("Asked")

router = APIRouter(tags=["agents"])


async def _roster(request: Request) -> Roster:
    roster = request.app.state.roster
    assert isinstance(roster, Roster)
    return roster


ColonyRoster = Annotated[Roster, Depends(_roster)]
Id = Annotated[str, Path(min_length=1, max_length=256, description="The agent's id.", examples=["coder-7"])]
Name = Annotated[
    str | None, Query(description="Only those whose id or name is this; `*` stands for any text.", examples=["*coder*"])
]
Capability = Annotated[
    str | None,
    Query(description="Only those that have this capability; `*` stands for any text.", examples=["code.*"]),
]
Role = Annotated[str | None, Query(description="Only those that are for this.", examples=["coder"])]
Tier = Annotated[
    str | None, Query(description="Only those of this tier: coordinator, system or execution.", examples=["execution"])
]
States = Annotated[
    str | None,
    Query(
        alias="state",
        description="Only those in these states, with commas between them, or `all`; by default, all that are there: "
        "neither evicted nor unregistered.",
        examples=["alive,suspect"],
    ),
]
Parent = Annotated[
    str | None, Query(description="Only those that answer to this agent.", examples=["code-coordinator"])
]
Limit = Annotated[int, Query(ge=1, le=AGENTS_MAX, description="At most so many.")]
Cursor = Annotated[str, Query(description="Go on behind a page: the `next` of its answer.", examples=["coder-7"])]
Reason = Annotated[str | None, Query(description="Why, for the record.", examples=["replaced by coder-8"])]


def filters_of(
    name: Name = None,
    capability: Capability = None,
    role: Role = None,
    tier: Tier = None,
    state: States = None,
    parent: Parent = None,
) -> Filters:
    """What a request looks for. Raises `InvalidFilter`."""
    return Filters(name=name, capability=capability, role=role, tier=tier, states=states_in(state), parent=parent)


Sought = Annotated[Filters, Depends(filters_of)]


@router.get("/agents", responses=answers(Agents, "The agents.", {"agents": [AGENT]}))
async def listed(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    sought: Sought,
    limit: Limit = LISTED,
    cursor: Cursor = "",
    moment: AsOf = None,
) -> Response:
    """The agents that fit, by their ids. All filters must hold.

    Who is no more than declared, by a catalogue, has given no sign of life: it is listed, and has no work. `state` is
    what the colony holds of an agent by what was heard of it, never what it says of itself.
    """
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, node.projections.named_in(AGENTS), leash) as models:
            seen = node.watch.tracker.seen if moment is None else None
            return json(found.agents(models, sought, limit=limit, after=cursor, seen=seen, leash=leash))

    return dated(await in_time(request, lanes, leash, answer), moment)


@router.get("/agents/tree")
async def hierarchy(
    request: Request, node: ServingNode, lanes: OpenLanes, state: States = None, moment: AsOf = None
) -> Response:
    """Who answers to whom. Who answers to nobody that is there is a root; so is one of those in a circle."""
    leash, states = Leash(node.settings.query_seconds_max), states_in(state)

    def answer() -> Response:
        with node.projections.at(moment, node.projections.named_in(AGENTS), leash) as models:
            return json(found.tree(models, states, leash))

    return dated(await in_time(request, lanes, leash, answer), moment)


@router.get("/agents/stats", responses=answers(Stats, "The statistics.", {"agents": [AGENT_WORK]}))
async def statistics(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    limit: Limit = LISTED,
    cursor: Cursor = "",
    moment: AsOf = None,
) -> Response:
    """What came of each agent's work: assignments, success, how long they took, what they cost, what is in hand.

    Work that went from one agent to another counts for both: as given back for the one, by its end for the other.
    """
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, node.projections.named_in(STATS), leash) as models:
            return json(found.stats(models, limit=limit, after=cursor, leash=leash))

    return dated(await in_time(request, lanes, leash, answer), moment)


@router.get("/agents/{agent_id:path}", responses=answers(OneAgent, "The agent.", ONE_AGENT))
async def one(request: Request, node: ServingNode, lanes: OpenLanes, agent_id: Id, moment: AsOf = None) -> Response:
    """One agent, wherever it is in its life, with what came of its work."""
    return dated(await _shown(request, node, lanes, agent_id, moment=moment), moment)


@router.post("/agents", status_code=HTTPStatus.CREATED, responses=answers(Agent, "The agent.", AGENT, status=201))
async def register(
    request: Request, node: ServingNode, lanes: OpenLanes, room: BodyRoom, roster: ColonyRoster, wait: Wait = "visible"
) -> Response:
    """Have an agent join the colony, under an id that no living agent has.

    With `again`, it takes the place of one that is there: what that one does from then on is refused. What is left
    unsaid is taken from the catalogue, where one declares the agent. With `heartbeat_interval_seconds`, it is held to
    be alive for as long as it says so in time.
    """
    async with room.for_body(request, bytes_max=REGISTRATION_BYTES_MAX):
        asked = in_body(await read_body(request, bytes_max=REGISTRATION_BYTES_MAX), Registration)
        record = await roster.register(asked, wait)
        return await after_change(request, node, lanes, asked.agent_id, record, wait, HTTPStatus.CREATED)


@router.post("/agents/catalogue", responses=answers(Loaded, "What became of it.", LOADED))
async def load(request: Request, room: BodyRoom, roster: ColonyRoster, wait: Wait = "visible") -> Response:
    """Declare the agents of a catalogue: who is meant to be in the colony. Loading it again changes nothing.

    A declaration is no sign of life. `rookery schemas show catalogue` is the schema that the body is checked by.
    """
    async with room.for_body(request, bytes_max=CATALOGUE_BYTES_MAX):
        catalogue = catalogue_in(await read_body(request, bytes_max=CATALOGUE_BYTES_MAX))
        return json(await roster.load(catalogue, wait))


@router.patch("/agents/{agent_id:path}", responses=answers(Agent, "The agent.", AGENT))
async def update(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    room: BodyRoom,
    roster: ColonyRoster,
    agent_id: Id,
    wait: Wait = "visible",
) -> Response:
    """Change what the body names, and leave the rest; null takes away what was there."""
    async with room.for_body(request, bytes_max=REGISTRATION_BYTES_MAX):
        changes = in_body(await read_body(request, bytes_max=REGISTRATION_BYTES_MAX), Update)
        record = await roster.update(agent_id, changes, wait)
        return await after_change(request, node, lanes, agent_id, record, wait)


@router.delete("/agents/{agent_id:path}", responses=answers(Agent, "The agent.", AGENT | {"state": "unregistered"}))
async def unregister(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    roster: ColonyRoster,
    agent_id: Id,
    reason: Reason = None,
    wait: Wait = "visible",
) -> Response:
    """Have an agent leave the colony: it commits nothing any more. Its history stays; once more changes nothing."""
    record = await roster.unregister(agent_id, reason, wait)
    return await after_change(request, node, lanes, agent_id, record, wait)


def in_body(body: bytes, kind: type[Asked]) -> Asked:
    """What a request brings. Raises `MalformedEvent`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(str(error), "body") from None


async def after_change(
    request: Request,
    node: Node,
    lanes: OpenLanes,
    agent_id: str,
    record: AgentRecord,
    wait: Wait,
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    """The agent as queries see it, if they do by now; or else as its own events have it."""
    if wait == "visible":
        return await _shown(request, node, lanes, agent_id, status)
    return json(found.agent_in(record, agent_id, node.watch.tracker.seen), status)


async def _shown(
    request: Request,
    node: Node,
    lanes: OpenLanes,
    agent_id: str,
    status: HTTPStatus = HTTPStatus.OK,
    moment: AsOf = None,
) -> Response:
    leash = Leash(node.settings.query_seconds_max)
    names = node.projections.named_in(AGENTS + STATS)

    def answer() -> Response:
        with node.projections.at(moment, names, leash) as models:
            seen = node.watch.tracker.seen if moment is None else None
            return json(found.agent(models, agent_id, seen, leash), status)

    return await in_time(request, lanes, leash, answer, of_past=moment is not None)
