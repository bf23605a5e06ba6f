"""The fence: what an agent says it has begun or ended is published only if it is not dead, and the work is its own.

The kit's agents do so themselves. This is for those who hand in events over HTTP, and know nothing of incarnations.
"""

from __future__ import annotations

from ...bus import Bus, ConcurrencyConflict, Entity, Receipt
from ...eventstore.judging import judge
from ...schemas import Event, agent_in
from ..assignments import ASSIGNMENTS, AssignmentError, refuse_claim
from ..reactions import Contended, Decider
from ..reactions.deciding import CONFLICTS_MAX
from .errors import Fenced
from .liveness import Tracker
from .registry import AGENTS, refuse_fenced

CLAIMS = frozenset(
    {
        "assignment.completed",
        "assignment.failed",
        "assignment.started",
        "assignment.timed_out",
        "run.completed",
        "run.failed",
    }
)
SEQUENCES_MAX = 100_000


class Fence:
    """Publishes what agents claim if they are as they were when they were last found alive, and the work is theirs.

    Who never registered on this bus is nobody's to declare dead, and is let through. While the tracker doesn't know
    yet who did, which may take a while at the start of a node, the bus is asked about each. What is claimed of an
    assignment is held against that as well: only who has it can end it, and only once.
    """

    def __init__(self, bus: Bus, agents: Decider, assignments: Decider, tracker: Tracker) -> None:
        self._bus = bus
        self._agents = agents
        self._assignments = assignments
        self._tracker = tracker
        self._alive_at: dict[str, int] = {}

    def holds(self, event: Event) -> bool:
        """Whether the event is a claim that is looked at first: it may come behind what is published after it."""
        agent_id = _claimant(event)
        return agent_id is not None and (event.entity == ASSIGNMENTS.entity or self._may_be_dead(agent_id))

    async def publish(self, event: Event, payload: bytes) -> Receipt:
        """Publish the event.

        Raises `Fenced` if its agent is dead, `AssignmentOver`, `NotTheHolder`, `Contended`, or as `Bus.publish` does.
        """
        agent_id = _claimant(event)
        if agent_id is None or not self.holds(event):
            return await self._bus.publish(event, payload)
        is_of_work = event.entity == ASSIGNMENTS.entity
        looked_at = Entity(ASSIGNMENTS.entity, event.subject) if is_of_work else Entity(AGENTS.entity, agent_id)
        for _ in range(CONFLICTS_MAX):
            try:
                sequence = await (self._held_at(event, agent_id) if is_of_work else self._sequence(agent_id))
                [receipt] = await self._bus.append([event], expected={looked_at: sequence}, payloads=[payload])
                return receipt
            except ConcurrencyConflict:
                self._alive_at.pop(agent_id, None)
            except (Fenced, AssignmentError):
                if stored := await self._stored(event):  # sent again, before the log had it
                    return stored
                raise
        raise Contended(looked_at, CONFLICTS_MAX)

    def _may_be_dead(self, agent_id: str) -> bool:
        return not (self._tracker.is_complete and self._tracker.record(agent_id).state == "unknown")

    async def _held_at(self, event: Event, agent_id: str) -> int:
        """The assignment's last sequence, at which the claim is right. Raises `Fenced`, or as `refuse_claim`.

        One event can expect one thing only. Who dies behind this look has the work still: it is taken from the dead by
        an event of the assignment, which the append then meets.
        """
        if self._may_be_dead(agent_id):
            record, _ = await self._agents.look(agent_id)
            refuse_fenced(agent_id, record, None)
        assignment, sequence = await self._assignments.look(event.subject)
        refuse_claim(event.subject, event.payload(), assignment, claimant=agent_id)
        return sequence

    async def _sequence(self, agent_id: str) -> int:
        """The agent's last sequence, at which it is alive. Raises `Fenced`."""
        if (known := self._alive_at.get(agent_id)) is not None:
            return known
        record, sequence = await self._agents.look(agent_id)
        refuse_fenced(agent_id, record, None)
        if len(self._alive_at) >= SEQUENCES_MAX:
            self._alive_at.pop(next(iter(self._alive_at)))
        self._alive_at[agent_id] = sequence
        return sequence

    async def _stored(self, event: Event) -> Receipt | None:
        """Where the bus has the event already, if it has."""
        history = await self._bus.history(Entity(event.entity, event.subject))
        for delivery in history.deliveries:
            verdict = judge(delivery.payload, delivery.subject)
            if verdict.event and verdict.event.id == event.id:
                return Receipt(delivery.sequence, duplicate=True)
        return None


def _claimant(event: Event) -> str | None:
    """Which agent claims something by this event: nobody's word but its own makes it one."""
    return agent_in(event.source) if event.type in CLAIMS else None
