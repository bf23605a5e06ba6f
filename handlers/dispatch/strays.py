"""Strays: work that was recorded and waits nowhere, since whoever recorded it died before giving it to the bus.

Only what was never begun, and never in other hands, can be one. Where such work should wait is looked through once,
whatever the number of assignments; what is there already is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from typing import NamedTuple

from ...bus import Bus
from ...schemas import AssignmentCreated, Event
from ..assignments import Assignment
from ..reactions import Decider
from .board import Board, Open


class Place(NamedTuple):
    """Where work waits: for whoever has the capability, or for the agent that it was given to by name."""

    capability: str
    agent_id: str | None


def doubtful(board: Board) -> dict[Place, set[str]]:
    """The assignments that may be strays, by the place where each should wait."""
    found: dict[Place, set[str]] = {}
    for assignment_id, known in board.open.items():
        created = known.assignment.created
        if is_untouched(known) and created is not None:
            found.setdefault(_place_of(created), set()).add(assignment_id)
    return found


def is_untouched(known: Open) -> bool:
    """Whether nothing was said of the assignment but that it is given."""
    return known.moved_n == known.given_n and is_as_given(known.assignment)


def is_as_given(assignment: Assignment) -> bool:
    """Whether it waits where it was given to, and was never begun."""
    created = assignment.created
    return (
        created is not None
        and (assignment.status, assignment.attempts) == ("pending", 0)
        and assignment.bound_to == created.agent_id
    )


async def strays_of(bus: Bus, board: Board) -> list[str]:
    """Of the assignments on the board, those whose tasks the bus has nowhere. Raises as the bus does."""
    return await nowhere(bus, doubtful(board))


async def nowhere(bus: Bus, places: Mapping[Place, set[str]]) -> list[str]:
    """Of the assignments, by where each should wait, those that the bus has not there. Raises as the bus does."""
    found = list[str]()
    for place, assignments in places.items():
        sought = set(assignments)
        async with aclosing(bus.tasks_held(place.capability, agent_id=place.agent_id)) as pages:
            async for page in pages:
                sought.difference_update(page)
                if not sought:
                    break
        found += sorted(sought)
    return found


class Again:
    """Gives tasks that were given before, perhaps. What waits, or is in hand, would be done twice otherwise: the bus
    knows only for a minute what it was given. `assignments` knows how each stands by now.
    """

    def __init__(self, bus: Bus, assignments: Decider) -> None:
        self._bus = bus
        self._assignments = assignments
        self._asked: dict[str, Event] = {}
        self._looking = asyncio.Lock()

    async def give(self, event: Event) -> None:
        """Give the task if it waits nowhere, and was neither begun nor handed over. Those who ask meanwhile share the
        next look. Raises as the bus does.
        """
        self._asked[event.subject] = event
        async with self._looking:
            if event.subject not in self._asked:
                return  # whoever looked last has done it, too
            asked, self._asked = self._asked, {}
            try:
                for assignment_id in await nowhere(self._bus, _by_place(asked.values())):
                    state, _ = await self._assignments.look(assignment_id)
                    if is_as_given(state):  # what was released by the dead waits for others, at another place
                        await self._bus.give(asked[assignment_id])
            except BaseException:
                self._asked = asked | self._asked
                raise


def _by_place(events: Iterable[Event]) -> dict[Place, set[str]]:
    places: dict[Place, set[str]] = {}
    for event in events:
        created = event.payload()
        assert isinstance(created, AssignmentCreated), "nothing else is given"
        places.setdefault(_place_of(created), set()).add(event.subject)
    return places


def _place_of(created: AssignmentCreated) -> Place:
    return Place(created.kind if created.agent_id is None else "", created.agent_id)
