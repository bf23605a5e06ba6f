"""One attempt at a task: what is told of it, how its handler runs, and how it ends.

Each attempt is a run of its own. What is told at its beginning and its end has ids derived from the assignment and
the attempt, and an assignment's end from the assignment alone, so that nothing begins or ends twice however often a
task is delivered: the log keeps the first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from ...bus import Bus, Entity, EventTooLarge, Work
from ...schemas import (
    AssignmentCreated,
    AssignmentFailed,
    AssignmentStarted,
    EventData,
    InvalidEvent,
    InvalidInput,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    derived_id,
)
from ...schemas.vocabulary import RunId
from ..assignments import Assignment, AssignmentOver, Complete, Fail, NotTheHolder, Release, TimeOut
from ..fleet import Fenced
from .assigning import end_in
from .calls import said_of
from .ending import Begun, End, Life, commit
from .errors import GiveUp, ResultRefused
from .profile import Handler, Profile
from .task import Task
from .telling import Run, raise_first, shortened
from .threads import Threads, ThreadTask
from .tracing import child_of

RESULT_BYTES_MAX = 256 * 1024
OUTPUT_CHARACTERS_MAX = 1_000
RETRY_SECONDS_MAX = 60.0
# How long a handler that was cancelled may take to clean up, before it is left behind.
CANCEL_SECONDS = 5.0

LOST = "nothing was heard of it any more: its agent died, or lost the bus for too long"

logger = logging.getLogger(__name__)


class Completed(NamedTuple):
    """The handler returned; `result` is JSON."""

    result: bytes


class Failed(NamedTuple):
    """The handler raised, or there is none. `final`: trying again won't help."""

    error: str
    final: bool


class TimedOut(NamedTuple):
    """The handler was not done in its time."""

    timeout_seconds: float


class Stopped(NamedTuple):
    """The agent stops, and the task goes to another."""


Outcome = Completed | Failed | TimedOut | Stopped


class Attempt:
    """One delivery of a task to this agent."""

    def __init__(self, work: Work, profile: Profile, bus: Bus, threads: Threads, life: Life) -> None:
        created = work.event.payload()
        assert isinstance(created, AssignmentCreated), "the bus hands out assignments only"
        self._work = work
        self._created = created
        self._profile = profile
        self._bus = bus
        self._threads = threads
        self._life = life
        self.assignment_id = work.event.subject
        self._run = Run(bus, profile, self._run_id(work.attempt), work.event.id, child_of(work.event.traceparent))
        self._began = time.monotonic()

    async def carry_out(self) -> None:
        """Do the task, say how it ended, and only then settle it with the bus."""
        if not await self._is_still_to_do():
            await self._work.done()
        elif self._work.exhausted:
            await self._end_assignment(self._failed_for_good("every attempt at it was lost with its agent"))
            await self._work.give_up()
        else:
            # On its way before anything that the handler says, and awaited only when that has ended.
            beginning = asyncio.gather(*self._beginning(), return_exceptions=True)
            outcome = await self._outcome()
            raise_first(began := await beginning)
            await self._end(outcome, self._begun(max(at for at in began if isinstance(at, int))))

    # Beginning

    async def _is_still_to_do(self) -> bool:
        """Whether the task has not ended yet, nor was called off; an earlier run that nobody ended is."""
        assignment = Entity("assignment", self.assignment_id)
        if self._work.attempt == 1:
            return not await self._bus.has_happened(assignment, "cancelled")
        history = await self._bus.history(assignment)
        if any(end_in(delivery) for delivery in history.deliveries):
            return False
        earlier = self._run_id(self._work.attempt - 1)
        told = [delivery.subject for delivery in (await self._bus.history(Entity("run", earlier))).deliveries]
        if told and not any(subject.split(".")[3] in ("completed", "failed", "cancelled") for subject in told):
            lost = self._run._replace(id=earlier)
            await lost.tell(RunFailed(error=LOST), subject=earlier, id=derived_id(earlier, "ended"))
        return True

    def _beginning(self) -> list[Coroutine[Any, Any, int]]:
        agent_id, run_id = self._profile.agent_id, self._run.id
        run = RunStarted(
            agent_id=agent_id,
            task=self._created.kind,
            skill=self._skill,
            parent_run_id=self._parent(),
            assignment_id=self.assignment_id,
            metadata={"attempt": self._work.attempt} if self._work.attempt > 1 else None,
        )
        assignment = AssignmentStarted(agent_id=agent_id, run_id=run_id)
        return [
            self._run.tell(run, subject=run_id, id=derived_id(run_id, "started")),
            self._run.tell(assignment, subject=self.assignment_id, id=derived_id(run_id, "assignment started")),
        ]

    def _parent(self) -> str | None:
        """The run that asked for this one, where one did: anybody may have written anything there."""
        try:
            return msgspec.convert((self._created.metadata or {}).get("parent_run_id"), RunId | None)
        except msgspec.ValidationError:
            return None

    # The handler

    async def _outcome(self) -> Outcome:
        """Run the handler within its time. Never raises, save when it is cancelled twice."""
        try:
            handler = self._profile.handler(self._created.kind)
        except InvalidInput as error:
            return Failed(str(error), final=True)
        limits = [limit for limit in (handler.timeout_seconds, self._created.timeout_seconds) if limit is not None]
        timeout_seconds = min(limits, default=None)
        task = self._task(timeout_seconds)
        handling = asyncio.create_task(self._handle(handler, task), name=f"{handler.capability} {task.id}")
        try:
            await asyncio.wait({handling}, timeout=timeout_seconds)
            if not handling.done():
                assert timeout_seconds is not None, "without a limit it is waited for until it is done"
                await _cancel(handling)
                return TimedOut(timeout_seconds)
            if handling.cancelled():  # by itself, or by what it waited for: nobody here has cancelled it
                return self._raised(asyncio.CancelledError("the handler let itself be cancelled"), final=False)
            return handling.result()
        except asyncio.CancelledError:
            await _cancel(handling)
            return Stopped()
        finally:
            task.over = True

    def _task(self, timeout_seconds: float | None) -> Task:
        deadline = None if timeout_seconds is None else datetime.now(UTC) + timedelta(seconds=timeout_seconds)
        return Task(
            self._run, id=self.assignment_id, attempt=self._work.attempt, created=self._created, deadline=deadline
        )

    async def _handle(self, handler: Handler, task: Task) -> Outcome:
        try:
            if handler.is_async:
                result = await handler.function(task)
            else:
                name = f"{handler.capability} {task.id}"
                result = await self._threads.run(handler.function, ThreadTask(task), name)
            return Completed(_result_in_json(handler.capability, result))
        except asyncio.CancelledError:
            raise
        except GiveUp as error:
            return Failed(shortened(error.reason), final=True)
        except InvalidInput as error:
            return self._raised(error, final=True)
        except BaseException as error:  # sys.exit() in a handler ends the task, not the agent
            return self._raised(error, final=False)

    def _raised(self, error: BaseException, final: bool) -> Failed:
        logger.warning("%s of task %s failed", self._created.kind, self.assignment_id, exc_info=error)
        return Failed(said_of(error), final or self._work.attempt >= self._work.attempts_max)

    # The end

    async def _end(self, outcome: Outcome, begun: Begun) -> None:
        """Tell how it ended, and settle the task; what is no longer this agent's to end is left alone."""
        try:
            await self._tell_end(outcome, begun)
        except AssignmentOver as refused:
            logger.warning("what came of task %s counts for nothing: %s", self.assignment_id, refused)
            await self._work.done()
        except (NotTheHolder, Fenced) as refused:
            logger.warning("what came of task %s counts for nothing: %s", self.assignment_id, refused)
            self._life.membership.look_again()
        else:
            await self._settle(outcome)

    async def _tell_end(self, outcome: Outcome, begun: Begun) -> None:
        end = self._ending(outcome)
        try:
            await commit(self._run, self._life, self.assignment_id, begun, end)
        except (EventTooLarge, InvalidEvent) as error:
            refused = str(ResultRefused(self._created.kind, f"can't travel: {error}"))
            end = self._ending(Failed(refused, final=True))
            await commit(self._run, self._life, self.assignment_id, begun, end)

    def _begun(self, sequence: int) -> Begun:
        """How the assignment stands now that this run has begun it."""
        agent_id = self._profile.agent_id
        held = Assignment("running", agent_id, self._run.id, self._work.attempt, created=self._created)
        return Begun(held, sequence)

    def _ending(self, outcome: Outcome) -> End:
        """What is told of the run, and what is claimed of the assignment, which may come to another attempt."""
        told: dict[str, Any] = {
            "agent_id": self._profile.agent_id,
            "skill": self._skill,
            "duration_seconds": time.monotonic() - self._began,
        }
        of_run = told | {"assignment_id": self.assignment_id}
        claimed = told | {"run_id": self._run.id}
        released = {"agent_id": self._profile.agent_id, "run_id": self._run.id}
        match outcome:
            case Completed(result):
                output = None if result == b"null" else shortened(result.decode(), OUTPUT_CHARACTERS_MAX)
                return End(RunCompleted(output=output, **of_run), Complete(result=msgspec.Raw(result), **claimed))
            case Failed(error, final):
                claim = Fail(error=error, **claimed) if final else Release(reason=error, **released)
                return End(RunFailed(error=error, **of_run), claim)
            case TimedOut(seconds):
                late = RunFailed(error=f"not done within {seconds:g} s", **of_run)
                return End(late, TimeOut(**claimed))
            case Stopped():
                reason = f"{self._profile.agent_id} stopped; the task is given to another"
                return End(RunCancelled(reason=reason), Release(reason=reason, **released))

    async def _end_assignment(self, end: EventData) -> None:
        await self._run.tell(end, subject=self.assignment_id, id=derived_id(self.assignment_id, "ended"))

    def _failed_for_good(self, error: str) -> AssignmentFailed:
        return AssignmentFailed(agent_id=self._profile.agent_id, skill=self._skill, error=error)

    async def _settle(self, outcome: Outcome) -> None:
        match outcome:
            case Failed(final=False):
                await self._work.again(self._retry_seconds())
            case Stopped():
                await self._work.again(0)
            case _:
                await self._work.done()

    def _retry_seconds(self) -> float:
        """Twice as long after each attempt, up to a bound."""
        return min(self._profile.retry_seconds * 2.0 ** (self._work.attempt - 1), RETRY_SECONDS_MAX)

    @property
    def _skill(self) -> str:
        return self._created.skill or self._created.kind

    def _run_id(self, attempt: int) -> str:
        return derived_id(self.assignment_id, str(attempt), "run")


def _result_in_json(capability: str, result: object) -> bytes:
    """The result's bytes. Raises `ResultRefused` for what can't travel."""
    try:
        text = msgspec.json.encode(result)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ResultRefused(capability, f"can't be written as JSON: {error}") from None
    if len(text) > RESULT_BYTES_MAX:
        raise ResultRefused(
            capability,
            f"takes {len(text):,} bytes and {RESULT_BYTES_MAX:,} are allowed: put the bulk elsewhere, return its name",
        )
    return text


async def _cancel(handling: asyncio.Task[Outcome]) -> None:
    """Cancel the handler, and leave it behind if it doesn't end."""
    handling.cancel()
    done, _ = await asyncio.wait({handling}, timeout=CANCEL_SECONDS)
    if not done:
        logger.warning("%s goes on although it was cancelled", handling.get_name())
