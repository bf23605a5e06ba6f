"""Distributing: practice for who needs it most, without anybody getting all of it.

Each gap, of an agent at a skill, has a need from 0 to 1. The greatest comes first, less what its agent has in hand
already: so who is weak at everything doesn't get everything at once, and who is full gets nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from ..proficiency import Gap
from .choosing import LOAD_WEIGHT


class Room(NamedTuple):
    """How much an agent has in hand, of how much it may have."""

    assignments: int
    assignments_max: int

    @property
    def load(self) -> float:
        """The share that is taken."""
        return self.assignments / self.assignments_max if self.assignments_max else 1.0


class Planned(NamedTuple):
    """One piece of practice: whose, at what, and why it is this one's turn."""

    agent_id: str
    skill: str
    gap: Gap
    load: float

    @property
    def priority(self) -> float:
        """What the plan goes by: the need, less what is in hand."""
        return self.gap.need - LOAD_WEIGHT * self.load

    def told(self) -> dict[str, Any]:
        """The reasons, as `assignment.created` carries them."""
        rating = self.gap.rating
        return {
            "agent_id": self.agent_id,
            "reason": f"practice: {self.gap.kind}",
            "score": round(self.priority, 6),
            "need": round(self.gap.need, 6),
            "load": round(LOAD_WEIGHT * self.load, 6),
            "rating": round(rating.rating, 6),
            "uncertainty": round((rating.high - rating.low) / 2, 6),
        }


def plan(gaps: Iterable[Gap], rooms: Mapping[str, Room], count: int) -> list[Planned]:
    """At most `count` pieces of practice, the most urgent first; each gap once, and nobody beyond their room."""
    rooms = dict(rooms)
    waiting = [_place(gap, rooms[gap.agent_id]) for gap in gaps if gap.agent_id in rooms]
    heapify(waiting)
    planned = list[Planned]()
    while waiting and len(planned) < count:
        place = heappop(waiting)
        gap, agent_id = place[-1], place[2]
        room = rooms[agent_id]
        if room.assignments >= room.assignments_max:
            continue
        if (now := _place(gap, room)) != place:  # its agent got something meanwhile: it waits at its new place
            heappush(waiting, now)
            continue
        planned.append(Planned(agent_id, gap.skill, gap, room.load))
        rooms[agent_id] = room._replace(assignments=room.assignments + 1)
    return planned


def _place(gap: Gap, room: Room) -> tuple[float, str, str, Gap]:
    assert gap.agent_id is not None, "the colony's own gaps are nobody's to practise"
    return -(gap.need - LOAD_WEIGHT * room.load), gap.skill, gap.agent_id, gap
