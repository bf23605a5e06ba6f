"""Distribution at a node: practice for the agents that are alive, by the gaps in what they can do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from ..handlers.dispatch import AgentNotAlive, Incapable, Planned, Room, Wish, plan
from ..handlers.fleet import UnknownAgent
from ..handlers.proficiency import gaps_of_agents
from ..schemas import AssignmentCreated, new_id
from ..schemas.envelope import Source
from ..schemas.vocabulary import Labels, Name
from .assignments import OPERATOR, Duration, Standing, give_wish

if TYPE_CHECKING:
    from .node import Node, Wait

PRACTICE_MAX = 1_000
PRACTICE_DEFAULT = 5
# What may have become of an agent between the plan and its being given something.
LOST_SINCE = (AgentNotAlive, Incapable, UnknownAgent)


class Practice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much practice is to be given out, of which skills (all, where none is named), and with what to work on."""

    count: Annotated[int, Meta(ge=1, le=PRACTICE_MAX)] = PRACTICE_DEFAULT
    skills: list[Name] | None = None
    input: Any = None
    timeout_seconds: Duration | None = None
    deadline_seconds: Duration | None = None
    source: Source = OPERATOR
    metadata: Labels | None = None


class Refusal(msgspec.Struct, frozen=True):
    """Practice that was planned for an agent which, it turned out, could not be given any."""

    agent_id: str
    skill: str
    reason: str


class Distributed(msgspec.Struct, frozen=True):
    """What was given out, and what was planned and could not be, with the reason."""

    assignments: list[Standing]
    refused: list[Refusal]


async def distribute(node: Node, practice: Practice, wait: Wait = "visible") -> Distributed:
    """Give practice to who needs it most and has room for it. Nobody has a gap: nothing is given.

    Raises as the bus does, or `DiskFull`; what was given by then stays.
    """
    node.disk.ensure_room()
    await node.dispatcher.until_begun()
    given, refused = list[Standing](), list[Refusal]()
    for one in await _planned(node, practice):
        wish = Wish(_asked(one, practice), new_id(), practice.source)
        try:
            given.append(await give_wish(node, wish, "durable"))
        except LOST_SINCE as error:
            refused.append(Refusal(one.agent_id, one.skill, str(error)))
    if given:
        await node.until((await node.bus.state()).last_sequence, wait)
    return Distributed(given, refused)


async def _planned(node: Node, practice: Practice) -> Sequence[Planned]:
    able = node.dispatcher.candidates.alive()
    wanted = None if practice.skills is None else set(practice.skills)
    skills = {one.agent_id: sorted(one.capabilities if wanted is None else one.capabilities & wanted) for one in able}
    rooms = {one.agent_id: Room(one.assignments, one.assignments_max) for one in able}
    lookup = node.proficiency.lookup
    return await asyncio.to_thread(lambda: plan(gaps_of_agents(skills, lookup), rooms, practice.count))


def _asked(planned: Planned, practice: Practice) -> AssignmentCreated:
    return AssignmentCreated(
        kind=planned.skill,
        skill=planned.skill,
        agent_id=planned.agent_id,
        timeout_seconds=practice.timeout_seconds,
        deadline_seconds=practice.deadline_seconds,
        input=practice.input,
        metadata={**(practice.metadata or {}), "practice": True},
        chosen=planned.told(),
    )
