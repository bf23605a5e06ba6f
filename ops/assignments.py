"""Assignments at a node: giving agents work, how it stands, and waiting for its end.

How an assignment stands is read from its own events on the bus, so that who has just given work can ask at once. Who
waits listens to the live events, which all share.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from ..bus import Bus, Delivery, Entity, HistoryDamaged, work_subject_of
from ..eventstore import Log, Record
from ..handlers.agent.assigning import created
from ..handlers.assignments import (
    ASSIGNMENTS,
    Cancel,
    Complete,
    Fail,
    NotToRetry,
    Release,
    Start,
    UnknownAssignment,
)
from ..handlers.dispatch import Given, Wish
from ..handlers.reactions import Command
from ..projections import Condition, InvalidQuestion, Question
from ..schemas import (
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentReleased,
    AssignmentStarted,
    AssignmentTimedOut,
    Event,
    InvalidEvent,
    check,
    decode,
    derived_id,
    encode,
    new_id,
    type_of,
)
from ..schemas.assignments import AttemptsMax
from ..schemas.envelope import AGENTS_SOURCE, Source
from ..schemas.vocabulary import AgentId, AssignmentId, Labels, Name, Skill
from .health import HeldUp
from .lanes import Lane
from .live import Live, ReaderTooSlow
from .seen import Filters

if TYPE_CHECKING:
    from .node import Node, Wait

OPERATOR = "/people/operator"
NAMEABLE = re.compile("[!-.0-~]{1,128}")  # ids of agents that a source can name
MODEL = "assignments"

Status = Literal["pending", "running", "completed", "failed", "timed_out", "cancelled"]
STATUSES: tuple[Status, ...] = get_args(Status)
ENDS: tuple[Status, ...] = ("completed", "failed", "timed_out", "cancelled")
ENDED = Filters.of([f"assignment.{status}" for status in ENDS]).types


# Somebody who asks for less than nothing, or for more than a year, means something else.
DURATION_SECONDS_MAX = 366 * 24 * 3600.0
Duration = Annotated[float, Meta(gt=0, le=DURATION_SECONDS_MAX)]


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What somebody wants done: by `agent_id`, by the best of all, or else by whoever takes it up first.

    With an `id` it may be sent again after a failure: it is done once.
    """

    capability: Name
    input: Any = None
    agent_id: AgentId | None = None
    best: bool = False
    skill: Skill | None = None
    timeout_seconds: Duration | None = None
    deadline_seconds: Duration | None = None
    attempts_max: AttemptsMax | None = None
    id: AssignmentId | None = None
    source: Source = OPERATOR
    metadata: Labels | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an assignment stands."""

    assignment_id: str
    status: Status
    capability: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    attempts: int = 0
    chosen: dict[str, Any] | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_seconds: float | None = None
    result: Any = None
    error: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status not in ("pending", "running")


async def give(node: Node, wanted: Wanted, wait: Wait = "visible") -> Standing:
    """Record the assignment and put it where agents find it; then wait until the record is as far as `wait` says.

    One that is under way or over is left as it is. Raises `InvalidEvent`, `DiskFull`, as `Giver.record` does, or as the
    bus does: then doing it again, under the same id, is safe.
    """
    return await give_wish(node, _wish(wanted), wait, is_new=wanted.id is None)


async def give_wish(node: Node, wish: Wish, wait: Wait, *, is_new: bool = True) -> Standing:
    """The same for what was put into its form already; `is_new`: nobody can have given it before."""
    known = None if is_new else await _recorded(node.bus, wish.assignment_id)
    node.disk.ensure_room()
    if known is None:
        if not is_new and (await node.reactions.state(ASSIGNMENTS, wish.assignment_id)).is_over:
            # The bus was made anew since then, and the log alone knows: to give it again would be to do it twice.
            return await asyncio.to_thread(stood, node.log, wish.assignment_id, node.log.vector())
        given = await node.giver.record(wish)
        if not given.repeated:
            await node.bus.give(given.event, recorded=given.sequence)
            await node.until(given.sequence, wait)
            return _after(Standing(assignment_id=wish.assignment_id, status="pending"), given.event)
        known = await _recorded(node.bus, wish.assignment_id) or given
    if (await standing(node.bus, wish.assignment_id)).status == "pending":
        await node.giver.give_again(known.event)
    await node.until(known.sequence, wait)
    return await standing(node.bus, wish.assignment_id)


def question_of(sought: Mapping[str, str | None], cursor: str | None) -> Question:
    """What asks the read model for the assignments that fit, the latest first. Raises `InvalidQuestion`."""
    for status in (sought.get("status") or "").split(","):
        if status not in ("", *STATUSES):
            raise InvalidQuestion("status", f"{status!r} is none; there are {', '.join(STATUSES)}")
    several = {"status": "in"}
    conditions = tuple(Condition(name, several.get(name, "eq"), text) for name, text in sought.items() if text)
    return Question(conditions, sort=("-created_at",), cursor=cursor)


async def cancel(node: Node, assignment_id: str, reason: str | None, wait: Wait = "visible") -> Standing:
    """Call the assignment off, whoever has it, if it is not over. Raises `UnknownAssignment` or `AssignmentOver`."""
    command = Command.of(Cancel(reason=reason), subject=assignment_id, source=OPERATOR)
    decided = await node.reactions.handle(ASSIGNMENTS, command)
    await node.until(decided.sequence, wait)
    return await standing(node.bus, assignment_id)


async def carry_out(
    node: Node, assignment_id: str, word: Start | Complete | Fail | Release, wait: Wait = "visible", *, id: str | None
) -> Standing:
    """Have the assignment's context carry out what its agent says. Raises as that does, as on the bus."""
    is_nameable = NAMEABLE.fullmatch(word.agent_id)
    source = f"{AGENTS_SOURCE}{word.agent_id}" if is_nameable else node.reactions.source
    node.disk.ensure_room()
    decided = await node.reactions.handle(ASSIGNMENTS, Command.of(word, subject=assignment_id, source=source, id=id))
    await node.until(decided.sequence, wait)
    return await standing(node.bus, assignment_id)


async def retry(node: Node, assignment_id: str, wait: Wait = "visible") -> Standing:
    """Give what failed, timed out or was called off once more, as an assignment of its own.

    How the first one ended stays as it is. Asked for twice, it is given once: to try a third time, retry the second.
    Raises `UnknownAssignment`, `NotToRetry`, or as `give` does.
    """
    first, before = await _recorded(node.bus, assignment_id), await standing(node.bus, assignment_id)
    if first is None:
        raise UnknownAssignment(assignment_id)
    if not before.is_over or before.status == "completed":
        raise NotToRetry(assignment_id, before.status)
    data = first.event.payload()
    assert isinstance(data, AssignmentCreated)
    was_chosen = data.chosen is not None
    again = msgspec.structs.replace(
        data,
        agent_id=None if was_chosen else data.agent_id,
        chosen=None,
        metadata={**(data.metadata or {}), "retry_of": assignment_id},
    )
    wish = Wish(again, derived_id(assignment_id, "retry"), OPERATOR, best=was_chosen)
    return await give_wish(node, wish, wait, is_new=False)


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to an assignment, without what it was to work on and what came of it."""

    id: str
    fact: str
    time: datetime
    source: str
    data: dict[str, Any]


async def history(bus: Bus, assignment_id: str) -> list[Happening]:
    """All that happened to an assignment, in the order of the log. Raises `UnknownAssignment`."""
    found = await bus.history(Entity("assignment", assignment_id))
    happened = [_happening(event) for event in _readable(found.deliveries)]
    if not happened:
        raise UnknownAssignment(assignment_id)
    return happened


def _happening(event: Event) -> Happening:
    data = {name: value for name, value in msgspec.json.decode(event.data).items() if name not in ("input", "result")}
    return Happening(id=event.id, fact=event.type.split(".")[1], time=event.time, source=event.source, data=data)


async def standing(bus: Bus, assignment_id: str) -> Standing:
    """How the assignment stands. Raises `UnknownAssignment`."""
    return (await _standing(bus, assignment_id))[0]


def stood(log: Log, assignment_id: str, moment: Mapping[str, int]) -> Standing:
    """How the assignment stood at a moment of the past, by what was in the log. Blocks. Raises `UnknownAssignment`."""
    records = list(log.search(entity=("assignment", assignment_id), up_to=moment))
    records.sort(key=lambda record: record.recorded_time)
    found = _told(assignment_id, records)
    if found is None:
        raise UnknownAssignment(assignment_id)
    return found


async def until_over(
    node: Node, assignment_id: str, wait_seconds: float, reads: Lane, wait: Wait = "durable"
) -> Standing:
    """How the assignment stands when it is over and the record of that as far as `wait` says, or after so long.

    Raises `UnknownAssignment`, `TooManyReaders`.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_seconds
    while True:
        position = node.log.vector()  # what is not on the bus yet comes into the log behind this
        found, sequence = await _standing(node.bus, assignment_id)
        left = until - loop.time()
        if found.is_over and left > 0:
            with suppress(TimeoutError, HeldUp):  # what came of it is known, and worth more than the record of it
                async with asyncio.timeout(left):
                    await node.until(sequence, wait)
        if found.is_over or left <= 0 or node.is_closing:
            return found
        await _hear_of_end(node.live, position, assignment_id, left, reads)


async def _hear_of_end(live: Live, position: dict[str, int], assignment_id: str, seconds: float, reads: Lane) -> None:
    filters = Filters(types=ENDED, entity=Entity("assignment", assignment_id))
    with live.join(position, filters, reads) as reader:
        try:
            await reader.take(seconds)
        except ReaderTooSlow:
            return


async def _standing(bus: Bus, assignment_id: str) -> tuple[Standing, int]:
    """How it stands, and the bus sequence of the last that happened to it."""
    entity = Entity("assignment", assignment_id)
    history = await bus.history(entity)
    if history.missing:
        raise HistoryDamaged(entity, history.missing)
    found = _told(assignment_id, history.deliveries)
    if found is None:
        raise UnknownAssignment(assignment_id)
    return found, history.deliveries[-1].sequence


async def _recorded(bus: Bus, assignment_id: str) -> Given | None:
    """The event that gave the assignment, as the record has it: the first one counts."""
    history = await bus.history(Entity("assignment", assignment_id))
    for delivery in history.deliveries:
        for event in _readable([delivery]):
            if isinstance(event.payload(), AssignmentCreated):
                return Given(event, delivery.sequence)
    return None


def _told(assignment_id: str, deliveries: Iterable[Delivery | Record]) -> Standing | None:
    """What an assignment's events, in their order, make of it. Its first end counts."""
    found: Standing | None = None
    for event in _readable(deliveries):
        found = _after(found or Standing(assignment_id=assignment_id, status="pending"), event)
    return found


def _readable(deliveries: Iterable[Delivery | Record]) -> Iterator[Event]:
    for delivery in deliveries:
        try:
            event = decode(delivery.payload)
            event.payload()
        except InvalidEvent:  # the log lists it as a dead letter
            continue
        yield event


def _after(before: Standing, event: Event) -> Standing:
    if before.is_over:
        return before
    told: dict[str, Any]
    match data := event.payload():
        case AssignmentCreated():
            told = {
                "capability": data.kind,
                "agent_id": data.agent_id,
                "chosen": data.chosen,
                "created_at": event.time,
            }
        case AssignmentStarted():
            told = {
                "status": "running",
                "agent_id": data.agent_id,
                "run_id": data.run_id,
                "attempts": max(before.attempts + 1, data.attempt or 0),
                "started_at": event.time,
            }
        case AssignmentReleased() if data.agent_id == before.agent_id:
            told = {"status": "pending", "agent_id": None}
        case AssignmentCompleted() | AssignmentFailed() | AssignmentTimedOut() | AssignmentCancelled():
            told = {"status": type_of(data).partition(".")[2], "ended_at": event.time} | _ending(data, before)
        case _:
            return before
    return msgspec.structs.replace(before, **told)


def _ending(data: Any, before: Standing) -> dict[str, Any]:
    return {
        "agent_id": getattr(data, "agent_id", None) or before.agent_id,
        "duration_seconds": getattr(data, "duration_seconds", None),
        "result": getattr(data, "result", None),
        "error": getattr(data, "error", None) or getattr(data, "reason", None),
    }


def _wish(wanted: Wanted) -> Wish:
    """Raises `InvalidEvent` for what no event can carry."""
    data = AssignmentCreated(
        kind=wanted.capability,
        skill=wanted.skill or wanted.capability,
        agent_id=wanted.agent_id,
        timeout_seconds=wanted.timeout_seconds,
        deadline_seconds=wanted.deadline_seconds,
        attempts_max=wanted.attempts_max,
        input=wanted.input,
        metadata=wanted.metadata,
    )
    wish = Wish(data, wanted.id or new_id(), wanted.source, wanted.best)
    event = created(data, wish.assignment_id, source=wish.source)
    check(encode(event))
    work_subject_of(event)
    return wish
