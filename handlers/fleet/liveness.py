"""Liveness: who is due to be suspected, declared dead or evicted. Pure: what time it is comes from outside.

Every agent has one place in a heap, and a beat doesn't move it: what comes up too early is put back for when it is
due by then. So a beat costs a look-up, and 10,000 agents cost no more than what is due.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from ...schemas import (
    AgentHeartbeatSent,
    AgentRegistered,
    AgentStateChanged,
    AgentUnregistered,
    AgentUpdated,
    EventData,
)
from ..reactions import Happened
from .beats import Beat, Fault
from .registry import DEAD, HEARTBEAT_SECONDS_MIN, AgentRecord, State, evolve

# In heartbeat intervals since the last sign of life. One lost beat makes a suspect, which a probe then clears; the
# rest of the second interval is for the decision to become durable.
SUSPECT_INTERVALS = 1.25
EXPIRE_INTERVALS = 1.75
# What was due and has not come to pass is due again after this.
AGAIN_SECONDS = 0.5
# So many of the gone are kept in mind, to tell what they still say from what nobody known says: those who went last.
GONE_MAX = 20_000
# Places that were left for earlier ones lie in the heap until there are so many more than agents.
_HEAP_SPARE = 64

GONE: tuple[State, ...] = ("evicted", "unregistered")

Step = Literal["suspect", "revive", "expire", "evict"]
Heard = Fault | Literal["taken"]


class Due(NamedTuple):
    """A step that is to be decided. `incarnation` is None where the agent's registration didn't say.

    `not_before` is when the agent's state changed last: what comes of it must not seem to be older.
    """

    step: Step
    agent_id: str
    incarnation: int | None
    silent_seconds: float
    interval_seconds: float
    not_before: datetime


class Sighting(NamedTuple):
    """The latest sign of life of an agent."""

    at: datetime
    active_assignments: int | None


class _Watched:
    __slots__ = ("agent_id", "changed_at", "doubted_at", "heard_at", "queued_at", "record", "seen_at", "sighting")

    def __init__(self, agent_id: str, now: float) -> None:
        self.agent_id = agent_id
        self.record = AgentRecord()
        self.seen_at = self.changed_at = now  # silence is counted from here
        self.doubted_at: float | None = None  # when suspicion of it became due here
        self.heard_at: float | None = None
        self.queued_at: float | None = None
        self.sighting: Sighting | None = None

    @property
    def interval_seconds(self) -> float | None:
        asked = self.record.told.heartbeat_interval_seconds if self.record.told else None
        return max(asked, HEARTBEAT_SECONDS_MIN) if asked else None

    @property
    def suspected_at(self) -> float:
        """What is heard from then on clears a suspect: a probe is answered before the suspicion is durable."""
        return self.changed_at if self.doubted_at is None else self.doubted_at


class Tracker:
    """Follows the agents' events and beats. `now` is seconds on any clock that only goes forward."""

    def __init__(self, *, evict_seconds: float, gone_max: int = GONE_MAX) -> None:
        self.counts: Counter[Heard] = Counter()
        self.knows_the_past = False  # whether it was told of all who registered before it began: who watches says so
        self._has_forgotten = False
        self._evict_seconds = evict_seconds
        self._agents: dict[str, _Watched] = {}
        self._gone: dict[str, None] = {}
        self._gone_max = gone_max
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._agents)

    @property
    def is_complete(self) -> bool:
        """Whether who is not known here never registered on this bus."""
        return self.knows_the_past and not self._has_forgotten

    def states(self) -> Counter[State]:
        """How many agents are in each state."""
        return Counter(agent.record.state for agent in self._agents.values())

    def record(self, agent_id: str) -> AgentRecord:
        """What is known of the agent."""
        agent = self._agents.get(agent_id)
        return agent.record if agent else AgentRecord()

    def seen(self, agent_id: str) -> Sighting | None:
        """When the agent last beat, by the clock of who heard it, and what it was busy with; None: not heard yet."""
        agent = self._agents.get(agent_id)
        return agent.sighting if agent else None

    def know(self, agent_id: str, record: AgentRecord, now: float, *, ago_seconds: float = 0.0) -> None:
        """Begin with what is known of an agent, whose state changed so long ago. Its silence begins now."""
        agent = self._agents[agent_id] = _Watched(agent_id, now)
        agent.record = _kept(record)
        agent.changed_at = now - ago_seconds
        self._queue(agent)
        self._note_gone(agent)

    def correct(self, agent_id: str, record: AgentRecord, now: float) -> None:
        """The agent is as the bus says, and not as was thought here. A new life's silence begins now."""
        agent = self._agents.get(agent_id)
        if agent is None:  # it is gone, and was forgotten meanwhile
            return
        if record.incarnation != agent.record.incarnation:
            agent.seen_at = now
        if record.state != agent.record.state:
            agent.changed_at = now
        agent.record = _kept(record)
        self._queue(agent)
        self._note_gone(agent)

    def take(self, agent_id: str, fact: EventData, time: datetime, now: float) -> None:
        """Take the next of an agent's events, in their order."""
        agent = self._agents.get(agent_id)
        if agent is None:
            if not isinstance(fact, AgentRegistered):
                return
            agent = self._agents[agent_id] = _Watched(agent_id, now)
        if isinstance(fact, AgentHeartbeatSent):
            self._alive(agent, Sighting(time, fact.active_assignments), now)
            return
        before = agent.record
        agent.record = _kept(_after(before, fact, time))
        if isinstance(fact, AgentRegistered):
            agent.seen_at = now
        if agent.record.state != before.state:
            agent.changed_at = now
            if agent.record.state != "suspect":
                agent.doubted_at = None
        self._queue(agent)
        self._note_gone(agent)

    def hear(self, agent_id: str, beat: Beat, now: float, *, at: datetime) -> Fault | None:
        """Take a beat, or the answer to a probe, that came `at` this time. Returns what is wrong with it."""
        fault = self._fault_of(agent_id, beat)
        self.counts[fault or "taken"] += 1
        if fault is None:
            self._alive(self._agents[agent_id], Sighting(at, beat.active_assignments), now)
        return fault

    def grace(self, now: float) -> None:
        """Give everybody a full interval again: nothing could be heard for a while."""
        for agent in self._agents.values():
            agent.seen_at = now

    def due(self, now: float) -> Iterator[Due]:
        """What is due. It is due again a little later, unless an event says that it has come to pass."""
        while self._heap and self._heap[0][0] <= now:
            at, agent_id = heapq.heappop(self._heap)
            agent = self._agents.get(agent_id)
            if agent is None or agent.queued_at != at:
                continue  # it was put elsewhere meanwhile, or forgotten
            agent.queued_at = None
            found = self._next(agent)
            if found is not None and found[0] <= now:
                if found[1] == "suspect":
                    agent.doubted_at = now
                yield self._due(found[1], agent, now)
                self._put(agent, now + AGAIN_SECONDS)
            elif found is not None:
                self._put(agent, found[0])

    def next_at(self) -> float | None:
        """When to ask again at the latest."""
        return self._heap[0][0] if self._heap else None

    def _note_gone(self, agent: _Watched) -> None:
        """Keep the gone in the order in which they went, and not more of them than may be."""
        self._gone.pop(agent.agent_id, None)
        if agent.record.state not in GONE:
            return
        self._gone[agent.agent_id] = None
        if len(self._gone) > self._gone_max:
            forgotten = next(iter(self._gone))
            del self._gone[forgotten], self._agents[forgotten]
            self._has_forgotten = True

    def _fault_of(self, agent_id: str, beat: Beat) -> Fault | None:
        record = self.record(agent_id)
        if record.state == "unknown":
            return "unknown"
        is_other = beat.incarnation is not None and record.incarnation and beat.incarnation != record.incarnation
        return "fenced" if is_other or record.state in DEAD else None

    def _alive(self, agent: _Watched, sighting: Sighting, now: float) -> None:
        agent.seen_at = agent.heard_at = now
        agent.sighting = sighting
        if agent.record.state == "suspect":
            self._put(agent, now)

    def _next(self, agent: _Watched) -> tuple[float, Step] | None:
        """What is due next for the agent, and when."""
        interval = agent.interval_seconds
        match agent.record.state:
            case "alive" if interval:
                return agent.seen_at + SUSPECT_INTERVALS * interval, "suspect"
            case "suspect" if agent.heard_at is not None and agent.heard_at >= agent.suspected_at:
                return agent.heard_at, "revive"
            case "suspect" if interval:
                return agent.seen_at + EXPIRE_INTERVALS * interval, "expire"
            case "expired":
                return agent.changed_at + self._evict_seconds, "evict"
        return None

    def _due(self, step: Step, agent: _Watched, now: float) -> Due:
        record = agent.record
        not_before = record.changed_at or datetime.fromtimestamp(0, UTC)
        silent = max(now - agent.seen_at, 0.0)
        interval = agent.interval_seconds or 0.0
        return Due(step, agent.agent_id, record.incarnation or None, silent, interval, not_before)

    def _queue(self, agent: _Watched) -> None:
        found = self._next(agent)
        if found is not None and (agent.queued_at is None or found[0] < agent.queued_at):
            self._put(agent, found[0])

    def _put(self, agent: _Watched, at: float) -> None:
        agent.queued_at = at
        heapq.heappush(self._heap, (at, agent.agent_id))
        if len(self._heap) > 2 * len(self._agents) + _HEAP_SPARE:
            places = ((one.queued_at, one.agent_id) for one in self._agents.values())
            self._heap = [(at, agent_id) for at, agent_id in places if at is not None]
            heapq.heapify(self._heap)


def after(moment: datetime, time: datetime) -> datetime:
    """The time, or the first moment after the other one where that is later: clocks differ, and order counts."""
    try:
        return max(time, moment + timedelta(microseconds=1))
    except OverflowError:  # its clock was at the end of all time
        return moment


def _kept(record: AgentRecord) -> AgentRecord:
    """What a watch needs of it: what the gone once told, and will be no more, would pile up."""
    return record._replace(told=None, declared=None) if record.state in GONE else record


def _after(record: AgentRecord, fact: EventData, time: datetime) -> AgentRecord:
    """As the registry sees it; but what was not told from the beginning can't count incarnations that don't say."""
    told = getattr(fact, "incarnation", None)
    if (
        told is not None
        and not record.incarnation
        and isinstance(fact, AgentStateChanged | AgentUnregistered | AgentUpdated)
    ):
        record = record._replace(incarnation=told)
    record = evolve(record, Happened(fact, time))
    return record._replace(incarnation=told or 0) if isinstance(fact, AgentRegistered) else record
