"""One attempt at a task: what is told of it, how its handler runs, and how it ends.

Each attempt is a run of its own. What is told at its beginning and its end has ids derived from the assignment and
the attempt, and an assignment's end from the assignment alone, so that nothing begins or ends twice however often a
task is delivered: the log keeps the first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from ...bus import Bus, EventTooLarge, Work
from ...schemas import (
    AssignmentCreated,
    InvalidEvent,
    InvalidInput,
    RunCancelled,
    RunCompleted,
    RunFailed,
    derived_id,
)
from ..assignments import ASSIGNMENTS, AssignmentOver, Complete, Fail, NotTheHolder, Release, TimeOut
from ..fleet import Fenced
from ..reactions import Decider
from .beginning import Beginning, begin
from .calls import said_of
from .ending import End, Life, commit
from .errors import GiveUp, ResultRefused
from .profile import Handler, Profile
from .task import Task
from .telling import shortened
from .threads import Threads, ThreadTask

RESULT_BYTES_MAX = 256 * 1024
OUTPUT_CHARACTERS_MAX = 1_000
RETRY_SECONDS_MAX = 60.0
# How long a handler that was cancelled may take to clean up, before it is left behind.
CANCEL_SECONDS = 5.0

CALLED_OFF = "its assignment is over: it was called off, or its time was up"

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


class CalledOff(NamedTuple):
    """Somebody else ended the assignment, and said so."""


Outcome = Completed | Failed | TimedOut | Stopped | CalledOff


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
        self._began = time.monotonic()
        self._begun: Beginning | None = None
        self._called_off = asyncio.Event()

    async def carry_out(self) -> None:
        """Do the task, say how it ended, and only then settle it with the bus."""
        try:
            beginning = await begin(self._bus, self._profile, self._life, self._work)
        except Fenced as refused:
            logger.warning("task %s is not begun: %s", self.assignment_id, refused)
            self._life.membership.look_again()
            await self._work.again(self._profile.retry_seconds)
            return
        except NotTheHolder as refused:
            logger.warning("task %s is not begun: %s", self.assignment_id, refused)
            await self._work.done()
            return
        if beginning is None:
            await self._work.done()
            return
        self._begun = beginning
        await self._end(await self._outcome())

    async def look_again(self) -> None:
        """Something says that the task is over, or another's by now: look, and stop the handler if it is."""
        if self._begun is None:
            return
        run = self._begun.run
        state, _ = await Decider(self._bus, ASSIGNMENTS, source=self._profile.source).look(self.assignment_id)
        if not state.is_held_by(self._profile.agent_id, run.id):
            self._called_off.set()

    @property
    def _beginning(self) -> Beginning:
        assert self._begun is not None, "it was begun"
        return self._begun

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
        called_off = asyncio.create_task(self._called_off.wait())
        try:
            await asyncio.wait({handling, called_off}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
            if not handling.done():
                await _cancel(handling)
                if called_off.done():
                    return CalledOff()
                assert timeout_seconds is not None, "without a limit it is waited for until it is done"
                return TimedOut(timeout_seconds)
            if handling.cancelled():  # by itself, or by what it waited for: nobody here has cancelled it
                return self._raised(asyncio.CancelledError("the handler let itself be cancelled"), final=False)
            return handling.result()
        except asyncio.CancelledError:
            await _cancel(handling)
            return Stopped()
        finally:
            called_off.cancel()
            task.over = True

    def _task(self, timeout_seconds: float | None) -> Task:
        deadline = None if timeout_seconds is None else datetime.now(UTC) + timedelta(seconds=timeout_seconds)
        run, attempt = self._beginning.run, self._beginning.attempt
        return Task(run, id=self.assignment_id, attempt=attempt, created=self._created, deadline=deadline)

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
        return Failed(said_of(error), final or self._beginning.is_last)

    # The end

    async def _end(self, outcome: Outcome) -> None:
        """Tell how it ended, and settle the task; what is no longer this agent's to end is left alone."""
        try:
            await self._tell_end(outcome)
        except AssignmentOver as refused:
            logger.warning("what came of task %s counts for nothing: %s", self.assignment_id, refused)
            await self._tell_end(CalledOff())
            await self._work.done()
        except (NotTheHolder, Fenced) as refused:
            logger.warning("what came of task %s counts for nothing: %s", self.assignment_id, refused)
            self._work.drop()
            self._life.membership.look_again()
        else:
            await self._settle(outcome)

    async def _tell_end(self, outcome: Outcome) -> None:
        run, begun = self._beginning.run, self._beginning.begun
        if isinstance(outcome, CalledOff):
            await run.tell(RunCancelled(reason=CALLED_OFF), subject=run.id, id=derived_id(run.id, "ended"))
            return
        try:
            await commit(run, self._life, self.assignment_id, begun, self._ending(outcome))
        except (EventTooLarge, InvalidEvent) as error:
            refused = str(ResultRefused(self._created.kind, f"can't travel: {error}"))
            await commit(run, self._life, self.assignment_id, begun, self._ending(Failed(refused, final=True)))

    def _ending(self, outcome: Completed | Failed | TimedOut | Stopped) -> End:
        """What is told of the run, and what is claimed of the assignment, which may come to another attempt."""
        told: dict[str, Any] = {
            "agent_id": self._profile.agent_id,
            "skill": self._skill,
            "duration_seconds": time.monotonic() - self._began,
        }
        of_run = told | {"assignment_id": self.assignment_id}
        run_id = self._beginning.run.id
        claimed = told | {"run_id": run_id}
        released = {"agent_id": self._profile.agent_id, "run_id": run_id}
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
        return min(self._profile.retry_seconds * 2.0 ** (self._beginning.attempt - 1), RETRY_SECONDS_MAX)

    @property
    def _skill(self) -> str:
        return self._created.skill or self._created.kind


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
