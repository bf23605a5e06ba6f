"""Lanes: what happens to one entity, as one table answers it, one thing after another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

import msgspec

from ...bus import Entity
from .place import Held
from .table import UNDECODABLE, Reactions

LANE_EVENTS_MAX = 256

Key = tuple[str, Entity]


class Lane:
    """Everything up to `after` is done. `waiting` has the n's that come next, the head first.

    `behind`: the log has more for this lane than waits in memory, or may have. `parked` says what stands at the head
    and keeps all the rest waiting. `doubtful` is the n up to which something may have been done before.
    """

    def __init__(self, table: Reactions, entity: Entity, after: int) -> None:
        self.table = table
        self.entity = entity
        self.after = after
        self.waiting: deque[int] = deque()
        self.behind = False
        self.parked: Held | None = None
        self.doubtful = 0
        self.task: asyncio.Task[None] | None = None

    def take(self, n: int) -> bool:
        """Have the lane's next event wait; False if it is to be read from the log when its turn comes."""
        if self.parked or self.behind or len(self.waiting) >= LANE_EVENTS_MAX:
            self.behind = True
            return False
        self.waiting.append(n)
        return True

    def park(self, held: Held) -> int:
        """Keep everything waiting behind the head; how many were let go of in memory."""
        let_go = len(self.waiting)
        self.parked, self.after = held, held.after
        self.waiting.clear()
        self.behind = True
        return let_go

    def resume(self) -> None:
        """Go on with the event that was parked; what is done of it already is not done again."""
        assert self.parked is not None
        self.restore(msgspec.structs.replace(self.parked, is_parked=False))
        self.doubtful = max(self.doubtful, self.waiting[0])

    def restore(self, held: Held) -> None:
        """Be as the lane was that is remembered so."""
        self.parked = None
        self.after = held.after
        if held.is_parked:
            self.park(held)
            return
        self.waiting = deque([held.n] if held.n else [])
        self.behind = self.entity.kind != UNDECODABLE  # where each is alone in its lane

    @property
    def is_level(self) -> bool:
        """Whether there is nothing left to do."""
        return not (self.waiting or self.behind or self.parked or self.task)

    def held(self) -> Held | None:
        """What has to be remembered of it; None where the log's order says it all."""
        if self.parked:
            return self.parked
        if not self.behind:
            return None
        return Held(self.table.name, *self.entity, after=self.after, n=self.waiting[0] if self.waiting else 0)


class Lanes:
    """All lanes that are not level with the log, by table and entity."""

    def __init__(self) -> None:
        self._lanes: dict[Key, Lane] = {}

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    def get(self, table: Reactions, entity: Entity, after: int) -> Lane:
        """The lane; begun behind `after` if it was level."""
        return self._lanes.setdefault((table.name, entity), Lane(table, entity, after))

    def find(self, table: str, entity: Entity) -> Lane | None:
        """The lane, if it is not level with the log."""
        return self._lanes.get((table, entity))

    def with_parked(self, id: str) -> Lane | None:
        """The lane at whose head this reaction is parked."""
        return next((lane for lane in self._lanes.values() if lane.parked and lane.parked.id == id), None)

    def forget_if_level(self, lane: Lane) -> None:
        """Let go of a lane that has nothing left to do."""
        if lane.is_level:
            self._lanes.pop((lane.table.name, lane.entity), None)

    @property
    def waiting(self) -> int:
        """How many events wait in memory."""
        return sum(len(lane.waiting) for lane in self._lanes.values())

    def parked(self) -> list[Held]:
        """What is parked, in the order of the log."""
        return sorted((lane.parked for lane in self._lanes.values() if lane.parked), key=lambda held: held.n)

    def reached(self, position: int) -> int:
        """Up to where everything is done but what is in lanes that are held."""
        heads = (lane.waiting[0] - 1 for lane in self._lanes.values() if lane.waiting and lane.held() is None)
        return min(heads, default=position)

    def held(self) -> list[Held]:
        """Every lane of which something has to be remembered."""
        return [held for lane in self._lanes.values() if (held := lane.held())]
