"""A2A over HTTP: the cards of the colony and of its agents, messages to them, and cards of agents of elsewhere."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from ...handlers.a2a import WELL_KNOWN, AgentCard, encode_card
from ...projections import Leash
from .. import a2a
from ..a2a import Asking, CardImport, registration_of
from ..agents import Agent
from ..node import Node, Wait
from .agent_examples import AGENT
from .agents import ColonyRoster, Id, after_change, in_body
from .bodies import read_body
from .dependencies import BodyRoom, OpenLanes, ServingNode, json, unless_gone
from .shapes import answers

MESSAGE_BYTES_MAX = 1024 * 1024
CARD_REQUEST_BYTES_MAX = 512 * 1024
VERSION_HEADER = "a2a-version"

router = APIRouter(tags=["a2a"])


@router.get(WELL_KNOWN)
async def card_of_colony(request: Request, node: ServingNode, lanes: OpenLanes) -> Response:
    """The colony's agent card: who sends it a message has whoever is best at it do the work.

    Its skills are what the agents that are alive can do.
    """
    card = a2a.card_of_colony(node.settings.origin, await _skills(node, lanes), _base_url(request, node))
    return _card(card)


@router.get("/agents/{agent_id:path}/agent-card.json")
async def card_of_agent(request: Request, node: ServingNode, agent_id: Id) -> Response:
    """An agent's card. Its liveness extension says what the colony holds of the agent now, and on what grounds."""
    return _card(a2a.card_of_agent(await a2a.agent_there(node, agent_id), _base_url(request, node)))


@router.post("/a2a")
async def message_to_colony(request: Request, node: ServingNode, lanes: OpenLanes, room: BodyRoom) -> Response:
    """A2A's JSON-RPC: a message becomes an assignment for whoever is best at it.

    `SendMessage`, `GetTask`, `CancelTask`, and what they are called in A2A 0.3. The message's metadata says as `skill`
    what is to be done.
    """
    async with room.for_body(request, bytes_max=MESSAGE_BYTES_MAX):
        payload = await read_body(request, bytes_max=MESSAGE_BYTES_MAX)
    return await _answered(request, Asking(node, lanes.reads, None, await _skills(node, lanes)), payload)


@router.post("/agents/{agent_id:path}/a2a")
async def message_to_agent(
    request: Request, node: ServingNode, lanes: OpenLanes, room: BodyRoom, agent_id: Id
) -> Response:
    """The same for one agent, which does what comes first among its skills where the message doesn't say."""
    async with room.for_body(request, bytes_max=MESSAGE_BYTES_MAX):
        payload = await read_body(request, bytes_max=MESSAGE_BYTES_MAX)
    agent = await a2a.agent_there(node, agent_id)
    return await _answered(request, Asking(node, lanes.reads, agent_id, agent.capabilities), payload)


@router.post("/agents/cards", status_code=HTTPStatus.CREATED, responses=answers(Agent, "The agent.", AGENT, status=201))
async def import_card(
    request: Request, node: ServingNode, lanes: OpenLanes, room: BodyRoom, roster: ColonyRoster, wait: Wait = "visible"
) -> Response:
    """Register an agent of elsewhere by its A2A card, or the URL of the card or its host.

    It is looked into first: its endpoint has to be on the card's own host, at a public address, and to answer as A2A
    says. Hosts that the setting `card_hosts` names are taken as they are. A redirection is refused, and what is larger
    than a card can be.
    """
    async with room.for_body(request, bytes_max=CARD_REQUEST_BYTES_MAX):
        asked = in_body(await read_body(request, bytes_max=CARD_REQUEST_BYTES_MAX), CardImport)
    wanted = await registration_of(asked, allowed=node.settings.card_hosts)
    record = await roster.register(wanted, wait)
    return await after_change(request, node, lanes, wanted.agent_id, record, wait, HTTPStatus.CREATED)


async def _answered(request: Request, asking: Asking, payload: bytes) -> Response:
    """What may take a minute: for it, nobody holds room for bodies any more."""

    async def answer() -> Response:
        return json(await a2a.answer(asking, payload, request.headers.get(VERSION_HEADER)))

    return await unless_gone(request, answer())


async def _skills(node: Node, lanes: OpenLanes) -> list[str]:
    leash = Leash(node.settings.query_seconds_max)

    def look() -> list[str]:
        with node.projections.at(None, node.projections.named_in(a2a.SKILLS), leash) as models:
            return a2a.skills_of_colony(models, leash)

    return await lanes.queries.run(look)


def _card(card: AgentCard) -> Response:
    """Fresh each time: what it says of liveness is of this moment."""
    return Response(encode_card(card), media_type="application/json", headers={"cache-control": "no-cache"})


def _base_url(request: Request, node: Node) -> str:
    return (node.settings.public_url or str(request.base_url)).rstrip("/")
