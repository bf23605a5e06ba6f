"""Ingest: takes events off the bus, in order, and appends them to the log.

The log is its own cursor: what it holds says where to go on, and there is nothing to acknowledge and so nothing to get
out of step. Before going on, ingest looks whether the bus still holds, at that place, what the log took from it. A bus
that lost some of that is read again from where the two agree: the log has what was lost, and knows the rest by its id.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar

from ..bus import BusError, Delivery, EventSource, StreamRewound, StreamState
from .agreement import Agreement, agreement
from .errors import BusRegressed, BusWithholds, LogDamaged, LogWriteFailed
from .line import Record
from .log import Log
from .writer import Appended

GROUP_EVENTS_MAX = 4_096
QUEUED_BATCHES_MAX = 4
CHECK_SECONDS = 5.0
WITHHELD_LOOK_SECONDS = 1.0
# Sealing as fast as it goes trebled the time of a fold. A fifth of the time is enough to keep up with the fastest bus.
SEALING_SHARE = 0.2
RETRY_SECONDS_MIN = 0.05
RETRY_SECONDS_MAX = 10.0

logger = logging.getLogger(__name__)

State = Literal["starting", "running", "failing", "failed"]
Result = TypeVar("Result")
Passing = tuple[type[Exception], ...]  # what may be over at the next attempt


class IngestStatus(NamedTuple):
    """How ingest is. `failing`: it tries again by itself; `failed`: it waits for a person. Both say why, since when.

    `position` is the last bus sequence that the log holds, and `missing` counts sequences that the bus skipped.
    `regressions` counts how often the bus had lost what the log holds, and was read again from where they agree.
    """

    state: State
    reason: str
    since: datetime
    position: int
    events: int
    duplicates: int
    missing: int
    regressions: int = 0


class Regression(NamedTuple):
    """The bus had lost what the log holds, and is read again.

    `position`: up to which sequence the log held it. `agreed`: up to which sequence the two still agree; 0, nowhere.
    `events`: so many lines of the log are no longer on the bus.
    """

    origin: str
    position: int
    agreed: int
    events: int
    reason: str


class Ingest:
    """Appends one bus's events to one origin of the log.

    `on_append` is called in the event loop after each group that added events, and `observe_append` after every group
    with the seconds that it took until the group was durable. `on_regression` is called when a bus that lost what the
    log holds begins to be read again. `accept_regression` says that it is the bus of this log even where the two agree
    nowhere: it is then read from its start.
    """

    def __init__(
        self,
        bus: EventSource,
        log: Log,
        origin: str,
        *,
        on_append: Callable[[], object] | None = None,
        on_seal: Callable[[], object] | None = None,
        observe_append: Callable[[float], object] | None = None,
        on_regression: Callable[[Regression], object] | None = None,
        accept_regression: bool = False,
        check_seconds: float = CHECK_SECONDS,
        retry_seconds_max: float = RETRY_SECONDS_MAX,
    ) -> None:
        self._bus = bus
        self._log = log
        self._origin = origin
        self._on_append = on_append
        self._on_seal = on_seal
        self._observe_append = observe_append
        self._on_regression = on_regression
        self._accept_regression = accept_regression
        self._check_seconds = check_seconds
        self._retry_seconds_max = retry_seconds_max
        self._status = IngestStatus("starting", "", datetime.now(UTC), log.bus_sequence(origin), 0, 0, 0)
        self._failures: dict[str, str] = {}
        self._changed = asyncio.Condition()
        self._stopped: BaseException | None = None
        self._recognised = False  # whether the bus is the one whose sequences the log holds

    @property
    def status(self) -> IngestStatus:
        """How it is right now."""
        return self._status

    @property
    def position(self) -> int:
        """The last bus sequence that the log holds."""
        return self._status.position

    async def lag(self) -> int:
        """How many events the bus holds that the log does not yet."""
        return max((await self._bus.state()).last_sequence - self.position, 0)

    async def wait_for(self, bus_sequence: int) -> None:
        """Return when the log holds the bus up to this sequence. Raises what ingest failed with, if it did."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._stopped is not None or self._holds(bus_sequence))
        if self._stopped is not None and not self._holds(bus_sequence):
            raise self._stopped

    def _holds(self, bus_sequence: int) -> bool:
        return self._recognised and self.position >= bus_sequence

    async def run(self) -> None:
        """Ingest until cancelled. Raises `BusRegressed` where bus and log agree nowhere, unless that is accepted."""
        self._stopped = None
        is_agreed = False
        while True:
            try:
                if not is_agreed:
                    await self._stand_at_the_last_line()
                await _Session(self, is_agreed=is_agreed).run()
            except BusRegressed as error:
                is_agreed = await self._go_back(error)
            except Exception as error:
                await self._fail(error)

    async def _stand_at_the_last_line(self) -> None:
        """Forget the duplicates that were taken since: what has no line can't be held against the bus."""
        last = await asyncio.to_thread(self._log.get, self._origin, self._log.vector().get(self._origin, 0))
        if last and self._log.bus_sequence(self._origin) not in (0, last.sequence):
            await _to_the_end(partial(self._log.rewind, self._origin, last.sequence))

    async def _go_back(self, error: BusRegressed) -> bool:
        """Have the bus read again from where it and the log agree; False if the bus can't be asked now."""
        try:
            found = await agreement(self._bus, self._log, self._origin)
        except BusError as unavailable:
            await self._note_failure("bus", unavailable)
            await asyncio.sleep(RETRY_SECONDS_MIN)
            return False
        except Exception as unforeseen:
            await self._fail(unforeseen)
        if found is None and not self._accept_regression:
            await self._fail(error)
        agreed = found or Agreement(0, 0)
        events = self._log.vector().get(self._origin, 0) - agreed.n
        logger.warning("reading the bus again after sequence %d: %s", agreed.sequence, error)
        await _to_the_end(partial(self._log.rewind, self._origin, agreed.sequence))
        await self._note(position=agreed.sequence, regressions=self._status.regressions + bool(events))
        if events and self._on_regression:
            self._on_regression(Regression(self._origin, error.position, agreed.sequence, events, error.reason))
        return True

    async def _fail(self, error: Exception) -> NoReturn:
        self._stopped = error
        await self._note(state="failed", reason=str(error), since=datetime.now(UTC))
        raise error

    async def _note(self, **changes: Any) -> None:
        async with self._changed:
            self._status = self._status._replace(**changes)
            self._changed.notify_all()

    async def _recognise(self, recognised: bool) -> None:
        self._recognised = recognised
        await self._note()

    async def _note_failure(self, what: str, error: Exception | None) -> None:
        """Remember what fails, each kind of work by itself, until it succeeds."""
        reason = "" if error is None else str(error)
        if self._failures.get(what, "") == reason and self._status.state != "starting":
            return
        if error is None:
            self._failures.pop(what, None)
        else:
            logger.warning("ingest of %s: %s", self._origin, error)
            self._failures[what] = reason
        state: State = "failing" if self._failures else "running"
        since = self._status.since if state == self._status.state else datetime.now(UTC)
        await self._note(state=state, reason="; ".join(self._failures.values()), since=since)


class _Session:
    """From one look at the bus to the moment when it turns out to be another one.

    `is_agreed`: that bus and log agree as far as the log says was looked at just now.
    """

    def __init__(self, ingest: Ingest, *, is_agreed: bool) -> None:
        self._ingest = ingest
        self._bus = ingest._bus
        self._log = ingest._log
        self._origin = ingest._origin
        self._queue: asyncio.Queue[list[Delivery]] = asyncio.Queue(QUEUED_BATCHES_MAX)
        self._read_up_to = self._log.bus_sequence(self._origin)
        self._anchor = None if is_agreed else self._last_record()
        self._full = asyncio.Event()
        self._ending = threading.Event()

    async def run(self) -> None:
        """Read, append, seal and look at the bus, side by side, until one of them fails for good."""
        await self._ingest._recognise(False)
        created = (await self._retrying("bus", self._check_bus)).created
        if self._anchor is None:
            await self._ingest._recognise(True)
        if self._log.has_full_segments:
            self._full.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read())
                tasks.create_task(self._append())
                tasks.create_task(self._seal())
                tasks.create_task(self._watch(created))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _read(self) -> None:
        while True:
            await self._retrying("bus", self._read_on)

    async def _read_on(self) -> None:
        # What the log took last is read once more, and compared.
        anchor = self._anchor.sequence - 1 if self._anchor else self._read_up_to
        try:
            async for batch in self._bus.read(after=anchor):
                await self._check_anchor(batch[0])
                if await self._note_missing(batch):
                    return
                self._read_up_to = batch[-1].sequence
                await self._queue.put(batch)
                await self._ingest._note_failure("bus", None)
                await self._ingest._note_failure("reading", None)
        except StreamRewound as rewound:
            raise self._regressed(f"the bus {rewound.found}") from None

    async def _append(self) -> None:
        while True:
            group = await self._queue.get()
            while len(group) < GROUP_EVENTS_MAX and not self._queue.empty():
                group = group + self._queue.get_nowait()
            await self._retrying("log", partial(self._append_group, group))

    async def _append_group(self, group: list[Delivery]) -> None:
        began = time.perf_counter()
        appended: Appended = await _to_the_end(partial(self._log.append, self._origin, group))
        if self._ingest._observe_append:
            self._ingest._observe_append(time.perf_counter() - began)
        status = self._ingest.status
        await self._ingest._note(
            position=self._log.bus_sequence(self._origin),
            events=status.events + appended.events,
            duplicates=status.duplicates + appended.duplicates,
        )
        if self._log.has_full_segments:
            self._full.set()
        if appended.events and self._ingest._on_append:
            self._ingest._on_append()

    async def _seal(self) -> None:
        while True:
            await self._full.wait()
            self._full.clear()
            seal = partial(self._log.seal_full_segments, self._pace)
            attempt = partial(_to_the_end, seal, on_cancel=self._ending.set)
            # What is damaged is not sealed until it is healed; what comes meanwhile is appended behind it.
            await self._retrying("seal", attempt, passing=(LogWriteFailed, LogDamaged))
            if self._ingest._on_seal:
                self._ingest._on_seal()

    def _pace(self, worked_seconds: float) -> None:
        """Wait for as long as sealing may not take the processor from what is more urgent; not when we are ending."""
        self._ending.wait(worked_seconds * (1 / SEALING_SHARE - 1))

    async def _watch(self, created: datetime) -> None:
        while True:
            read = self._read_up_to
            await asyncio.sleep(self._ingest._check_seconds)
            held = await self._retrying("bus", self._check_bus)
            if held.created != created:
                raise self._regressed("the bus's stream was made anew")
            if self._read_up_to == read:
                await self._look_at_what_comes(held)

    async def _look_at_what_comes(self, held: StreamState) -> None:
        """Where nothing has come for a while and the bus counts more, ask it for that: it may have none to give."""
        if self._anchor is None and held.last_sequence <= self._read_up_to:
            await self._ingest._note_failure("reading", None)
            return
        if self._queue.full():
            return
        next_up = self._anchor.sequence if self._anchor else self._read_up_to + 1
        found = await self._retrying("bus", partial(self._bus.first_after, next_up - 1))
        if self._anchor:
            if found is None or found.sequence > next_up:
                raise self._regressed(f"the bus no longer gives the event at {next_up}")
        elif found is None and next_up == self._read_up_to + 1:
            await self._note_withheld()

    async def _note_withheld(self) -> int:
        """Tell that the bus doesn't give what comes next; returns how much it found lost when it started."""
        lost = await self._retrying("bus", self._bus.lost_events)
        await self._ingest._note_failure("reading", BusWithholds(self._origin, self._read_up_to, lost))
        return lost

    async def _check_bus(self) -> StreamState:
        """What the bus holds. Raises `BusRegressed` where the log is ahead of it."""
        position = max(self._read_up_to, self._ingest.position)
        held: StreamState = await self._bus.state()
        if held.last_sequence < position:
            raise self._regressed(f"the bus ends at {held.last_sequence}")
        if position and held.first_sequence > position + 1:
            raise self._regressed(f"the bus begins at {held.first_sequence}, and what was between is gone")
        if self._anchor and held.first_sequence > self._anchor.sequence:
            self._anchor = None  # the bus no longer has it to compare
            await self._ingest._recognise(True)
        return held

    async def _check_anchor(self, delivery: Delivery) -> None:
        anchor, self._anchor = self._anchor, None
        if anchor is None:
            return
        held = (anchor.sequence, anchor.payload, anchor.recorded_time)
        if held != (delivery.sequence, delivery.payload, delivery.stored_at):
            raise self._regressed(f"the bus now has another event at {anchor.sequence}")
        await self._ingest._recognise(True)

    def _last_record(self) -> Record | None:
        """The last line, unless the bus is read from its start: it should have it at the same place."""
        last = self._log.get(self._origin, self._log.vector().get(self._origin, 0))
        return last if last and last.sequence == self._read_up_to else None

    async def _note_missing(self, batch: list[Delivery]) -> bool:
        """Whether the bus is to be read again from here: it has been started anew, and may give now what is missing."""
        fresh = [delivery.sequence for delivery in batch if delivery.sequence > self._read_up_to]
        missing = fresh[-1] - self._read_up_to - len(fresh) if fresh else 0
        if not missing:
            return False
        withheld = False
        while await self._retrying("bus", self._bus.lost_events):
            withheld = True
            await self._note_withheld()
            await asyncio.sleep(WITHHELD_LOOK_SECONDS)
        if not withheld:
            logger.error("the bus lost %d events of %s before %d", missing, self._origin, fresh[-1])
            await self._ingest._note(missing=self._ingest.status.missing + missing)
        return withheld

    async def _retrying(
        self, what: str, attempt: Callable[[], Awaitable[Result]], passing: Passing = (BusError, LogWriteFailed)
    ) -> Result:
        """Try again, with growing pauses, for as long as the disk or the bus refuses."""
        pause_seconds = RETRY_SECONDS_MIN
        while True:
            try:
                result = await attempt()
            except passing as error:
                if what not in self._ingest._failures:  # it worked meanwhile
                    pause_seconds = RETRY_SECONDS_MIN
                await self._ingest._note_failure(what, error)
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 2, self._ingest._retry_seconds_max)
            else:
                await self._ingest._note_failure(what, None)
                return result

    def _regressed(self, reason: str) -> BusRegressed:
        return BusRegressed(self._origin, self._read_up_to, reason)


async def _to_the_end(work: Callable[[], Result], *, on_cancel: Callable[[], object] | None = None) -> Result:
    """Do blocking work in a thread, and never leave it running behind: a cancelled caller waits for its end."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if on_cancel:
            on_cancel()
        await asyncio.wait([task])
        raise
