"""Giving: work is recorded for an agent that is alive at that very moment, or for whoever takes it up.

Who gets it is decided by what was heard of the agents, and recorded on the condition that nothing has happened to the
one who gets it since: so nobody who has expired is given work, however late the log heard of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from ...bus import Bus, ConcurrencyConflict, Entity
from ...schemas import AssignmentCreated, Event
from ..agent.assigning import created
from ..assignments import ASSIGNMENTS
from ..fleet import AgentRecord, UnknownAgent
from ..reactions import Contended, Decider
from .choosing import Choice
from .dispatcher import Dispatcher
from .errors import AgentNotAlive, Incapable, NobodyCan
from .strays import Again

CHOICES_MAX = 16
TAKERS = ("alive", "suspect")


class Wish(NamedTuple):
    """What is to be given, under which id, and by whom. `best`: to the best agent, where none is named."""

    data: AssignmentCreated
    assignment_id: str
    source: str
    best: bool = False


class Given(NamedTuple):
    """The event, and the bus's sequence of it; `repeated`: another was recorded under its id before, and counts."""

    event: Event
    sequence: int
    repeated: bool = False


class Giver:
    """Records assignments on one bus. `agents` decides about agents, and so knows how each stands by now."""

    def __init__(self, bus: Bus, dispatcher: Dispatcher, agents: Decider) -> None:
        self._bus = bus
        self._dispatcher = dispatcher
        self._agents = agents
        self._again = Again(bus, Decider(bus, ASSIGNMENTS, source=agents.source))

    async def give_again(self, event: Event) -> None:
        """Give what was recorded before to the bus, unless it waits there, or is or was in hand. Raises as the bus
        does.
        """
        await self._again.give(event)

    async def record(self, wish: Wish) -> Given:
        """Decide who is to have it, and record it; to `give` it to the bus is left to the caller.

        Raises `UnknownAgent`, `AgentNotAlive`, `Incapable`, `NobodyCan`, `Contended`, `InvalidEvent`, or as the bus
        does: then doing it again, under the same id, is safe.
        """
        if wish.data.agent_id is not None:
            return await self._for_one(wish, wish.data.agent_id)
        if wish.best or self._dispatcher.pool:  # who is alive has to be known, which a long log may take a while for
            await self._dispatcher.until_begun()
        if wish.best:
            return await self._for_the_best(wish)
        if self._dispatcher.stands_in(wish.data.kind):
            return await self._for_the_pool(wish)
        return await self._for_anybody(wish)

    async def _for_one(self, wish: Wish, agent_id: str) -> Given:
        for _ in range(CHOICES_MAX):
            agent, sequence = await self._agents.look(agent_id)
            refuse_unfit(agent_id, agent, wish.data.kind)
            if given := await self._recorded(wish, agent_id, sequence):
                return given
        raise Contended(Entity("agent", agent_id), CHOICES_MAX)

    async def _for_the_best(self, wish: Wish) -> Given:
        candidates, kind = self._dispatcher.candidates, wish.data.kind
        for _ in range(CHOICES_MAX):
            await candidates.be_ready(kind, wish.data.skill)
            choice = candidates.choose(kind, wish.data.skill) or await self._choose_later(wish)
            if choice is None:
                return await self._for_want_of_a_better(wish)
            agent_id = choice.candidate.agent_id
            if given := await self._recorded(wish, agent_id, candidates.sequence(agent_id), chosen=choice.told()):
                return given
            agent, sequence = await self._agents.look(agent_id)
            candidates.see(agent_id, sequence, agent)
        raise Contended(Entity("assignment", wish.assignment_id), CHOICES_MAX)

    async def _choose_later(self, wish: Wish) -> Choice | None:
        """Choose once more when all that the bus has by now was heard: somebody may have come, or become free."""
        await self._dispatcher.until_heard((await self._bus.state()).last_sequence)
        return self._dispatcher.candidates.choose(wish.data.kind, wish.data.skill)

    async def _for_want_of_a_better(self, wish: Wish) -> Given:
        """Nobody is eligible: the pool has it, or whoever has a hand free first; if nobody can, nobody has it."""
        if self._dispatcher.stands_in(wish.data.kind):
            return await self._for_the_pool(wish)
        if not self._dispatcher.candidates.anybody_can(wish.data.kind):
            raise NobodyCan(wish.data.kind)
        return await self._for_anybody(wish, chosen={"eligible": 0, "reason": "all who can have as much as they may"})

    async def _for_the_pool(self, wish: Wish) -> Given:
        chosen = {"agent_id": self._dispatcher.pool, "eligible": 0, "reason": "nobody else who is alive can"}
        return await self._for_anybody(wish, agent_id=self._dispatcher.pool, chosen=chosen)

    async def _for_anybody(self, wish: Wish, **told: Any) -> Given:
        event = _event(wish, **told)
        return Given(event, *await self._bus.publish(event))

    async def _recorded(self, wish: Wish, agent_id: str, sequence: int, **told: Any) -> Given | None:
        """Record it for the agent, if nothing has happened to that one since; it counts as its load from now on."""
        event = _event(wish, agent_id=agent_id, **told)
        self._dispatcher.candidates.hold(wish.assignment_id, agent_id)
        is_new = False
        try:
            [receipt] = await self._bus.append([event], expected={Entity("agent", agent_id): sequence})
            is_new = not receipt.duplicate
            return Given(event, *receipt)
        except ConcurrencyConflict:
            return None
        finally:
            if not is_new:
                self._hold_as_heard(wish.assignment_id)

    def _hold_as_heard(self, assignment_id: str) -> None:
        """It weighs on whoever has it by the log, if anybody does."""
        known = self._dispatcher.board.open.get(assignment_id)
        self._dispatcher.candidates.hold(assignment_id, known.assignment.agent_id if known else None)


def refuse_unfit(agent_id: str, agent: AgentRecord, kind: str) -> None:
    """Raise `UnknownAgent`, `AgentNotAlive` or `Incapable` for who can't be given work of a kind by name."""
    if agent.state == "unknown":
        raise UnknownAgent(agent_id)
    if agent.state not in TAKERS:
        raise AgentNotAlive(agent_id, agent.state)
    known = agent.told.capabilities if agent.told else []
    if kind not in known:
        raise Incapable(agent_id, kind, known)


def _event(wish: Wish, **told: Any) -> Event:
    data = msgspec.structs.replace(wish.data, **told)
    return created(data, wish.assignment_id, source=wish.source)
