"""The fence: what an agent says it has begun or ended is published only if that agent is not dead.

The kit's agents do so themselves. This is for those who hand in events over HTTP, and know nothing of incarnations.
"""

from __future__ import annotations

from ...bus import Bus, ConcurrencyConflict, Entity, Receipt
from ...schemas import Event, agent_in
from ..reactions import Contended, Decider
from ..reactions.deciding import CONFLICTS_MAX
from .liveness import Tracker
from .registry import refuse_fenced

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
    """Publishes what agents claim if they are as they were when they were last found alive.

    Who never registered on this bus is nobody's to declare dead, and is let through. While the tracker doesn't know
    yet who did, which may take a while at the start of a node, the bus is asked about each.
    """

    def __init__(self, bus: Bus, decider: Decider, tracker: Tracker) -> None:
        self._bus = bus
        self._decider = decider
        self._tracker = tracker
        self._alive_at: dict[str, int] = {}

    def holds(self, event: Event) -> bool:
        """Whether the event is a claim that is looked at first: it may come behind what is published after it."""
        agent_id = _claimant(event)
        return agent_id is not None and not (
            self._tracker.is_complete and self._tracker.record(agent_id).state == "unknown"
        )

    async def publish(self, event: Event, payload: bytes) -> Receipt:
        """Publish the event. Raises `Fenced` if its agent is dead, `Contended`, or as `Bus.publish` does."""
        agent_id = _claimant(event)
        if agent_id is None or not self.holds(event):
            return await self._bus.publish(event, payload)
        agent = Entity("agent", agent_id)
        for _ in range(CONFLICTS_MAX):
            expected = {agent: await self._sequence(agent_id)}
            try:
                [receipt] = await self._bus.append([event], expected=expected, payloads=[payload])
                return receipt
            except ConcurrencyConflict:
                self._alive_at.pop(agent_id, None)
        raise Contended(agent, CONFLICTS_MAX)

    async def _sequence(self, agent_id: str) -> int:
        """The agent's last sequence, at which it is alive. Raises `Fenced`."""
        if (known := self._alive_at.get(agent_id)) is not None:
            return known
        record, sequence = await self._decider.look(agent_id)
        refuse_fenced(agent_id, record, None)
        if len(self._alive_at) >= SEQUENCES_MAX:
            self._alive_at.pop(next(iter(self._alive_at)))
        self._alive_at[agent_id] = sequence
        return sequence


def _claimant(event: Event) -> str | None:
    """Which agent claims something by this event: nobody's word but its own makes it one."""
    return agent_in(event.source) if event.type in CLAIMS else None
