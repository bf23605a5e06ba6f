"""The watch: hears the agents' hearts, asks those that fell silent, and has the registry decide who is dead.

Any number of nodes may watch the same bus: each hears the same, and what one has decided the others find decided.
A watcher that could not hear for a while gives everybody a full interval again, before it believes in their silence.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from ...bus import Bus, BusError
from ...schemas import InvalidEvent, RookeryError, decode
from ..reactions import Command, CommandData, Decider
from .beats import BEATS, Beat, Notice, beating, fence_subject, probe_subject, read_beat
from .liveness import Due, Step, Tracker, after
from .registry import AgentRecord, Evict, Expire, Revive, Suspect

AGENT_EVENTS = "evt.agent.>"
TICK_SECONDS_MIN = 0.005
TICK_SECONDS_MAX = 0.5
# Who wakes up so much too late has not heard what was said meanwhile either.
STALLED_SECONDS = 2.0
PROBE_SECONDS_MIN = 0.05
PROBES_MAX = 1_000
TOLD_MAX = 1_000
DECISIONS_MAX = 64
# So many of them are taken in before others have their turn.
KNOWN_AT_ONCE_MAX = 1_000
PAUSE_SECONDS = 1.0

_COMMANDS: dict[Step, type[Suspect | Revive | Expire | Evict]] = {
    "suspect": Suspect,
    "revive": Revive,
    "expire": Expire,
    "evict": Evict,
}

logger = logging.getLogger(__name__)


class Known(NamedTuple):
    """What is known when the watch begins: the agents, as of everything up to a sequence of the bus.

    The gone come in the order in which they went. Not `is_all`: some who went long ago are left out.
    """

    agents: Iterable[tuple[str, AgentRecord]]
    sequence: int
    is_all: bool = True


class Watch:
    """One process's watch. `load` tells what is known, and is asked again where the bus was made anew."""

    def __init__(self, bus: Bus, decider: Decider, tracker: Tracker, load: Callable[[], Awaitable[Known]]) -> None:
        self.tracker = tracker
        self.decided: Counter[Step] = Counter()
        self.is_watching = False
        self._bus = bus
        self._decider = decider
        self._load = load
        self._deciding: dict[str, asyncio.Task[None]] = {}
        self._probing: dict[str, asyncio.Task[None]] = {}
        self._telling: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(DECISIONS_MAX)

    async def run(self) -> None:
        """Watch, until cancelled."""
        try:
            while True:
                try:
                    await self._watch()
                except (RookeryError, OSError) as error:
                    logger.warning("agents are not watched for a moment: %s", error)
                except Exception:
                    logger.exception("agents are not watched for a moment")
                self.is_watching = False
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            for task in (*self._deciding.values(), *self._probing.values(), *self._telling.values()):
                task.cancel()

    async def _watch(self) -> None:
        listening = await self._bus.listen(BEATS, self._hear)
        try:
            known = await self._load()
            now, wall = self._now(), datetime.now(UTC)
            for number, (agent_id, record) in enumerate(known.agents, 1):
                ago_seconds = (wall - record.changed_at).total_seconds() if record.changed_at else 0.0
                self.tracker.know(agent_id, record, now, ago_seconds=max(ago_seconds, 0.0))
                if number % KNOWN_AT_ONCE_MAX == 0:
                    await asyncio.sleep(0)
            self.tracker.knows_the_past = known.is_all
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow(known.sequence), name="watch: follow")
                tasks.create_task(self._tick(), name="watch: tick")
        except* RookeryError as failed:
            raise failed.exceptions[0] from None
        finally:
            with suppress(BusError):
                await listening.close()

    # What comes in

    def _hear(self, subject: str, payload: bytes) -> None:
        found = read_beat(payload)
        if not isinstance(found, Beat):
            self.tracker.counts[found] += 1
            return
        agent_id = beating(subject)
        if self.tracker.hear(agent_id, found, self._now(), at=datetime.now(UTC)) is not None:
            self._begin(self._telling, agent_id, self._say_fenced(agent_id))

    async def _follow(self, sequence: int) -> None:
        async for batch in self._bus.read(after=sequence, subject=AGENT_EVENTS):
            for delivery in batch:
                try:
                    event = decode(delivery.payload)
                    self.tracker.take(event.subject, event.payload(), event.time, self._now())
                except InvalidEvent:  # a dead letter: nothing is known of anybody by it
                    continue
            self.is_watching = True

    # What is due

    async def _tick(self) -> None:
        self.is_watching = True
        planned, was_away = self._now(), False
        while True:
            now, is_away = self._now(), not self._bus.connected
            if now - planned > STALLED_SECONDS or was_away:
                logger.warning("could not hear for %.1f s: every agent has a full interval again", now - planned)
                self.tracker.grace(now)
            was_away = is_away
            if not is_away:
                for due in self.tracker.due(now):
                    self._begin(self._deciding, due.agent_id, self._decide(due))
                    if due.step == "suspect":
                        self._begin(self._probing, due.agent_id, self._probe(due))
            pause = min(
                max((self.tracker.next_at() or now + TICK_SECONDS_MAX) - now, TICK_SECONDS_MIN), TICK_SECONDS_MAX
            )
            planned = now + pause
            await asyncio.sleep(pause)

    async def _decide(self, due: Due) -> None:
        told: dict[str, Any] = {"incarnation": due.incarnation}
        if due.step in ("suspect", "expire"):
            told["reason"] = f"silent for {due.silent_seconds:.3g} s, and beats every {due.interval_seconds:g} s"
        data: CommandData = _COMMANDS[due.step](**told)
        command = Command.of(data, subject=due.agent_id, source=self._decider.source)
        command = msgspec.structs.replace(command, time=after(due.not_before, command.time))
        async with self._room:
            try:
                if (await self._decider.handle(command)).events:
                    self.decided[due.step] += 1
                else:  # another was quicker, or it is not as was thought here
                    state, _ = await self._decider.look(due.agent_id)
                    self.tracker.correct(due.agent_id, state, self._now())
            except RookeryError as error:
                logger.warning("agent %s: %s could not be decided: %s", due.agent_id, due.step, error)

    async def _probe(self, due: Due) -> None:
        """Ask the agent to do something. Its answer is a beat."""
        if len(self._probing) > PROBES_MAX:
            return
        timeout = max(due.interval_seconds / 2, PROBE_SECONDS_MIN)
        with suppress(BusError):
            answer = await self._bus.request(probe_subject(due.agent_id), b"", timeout_seconds=timeout)
            beat = read_beat(answer)
            if isinstance(beat, Beat):
                self.tracker.hear(due.agent_id, beat, self._now(), at=datetime.now(UTC))

    async def _say_fenced(self, agent_id: str) -> None:
        """Tell whoever beats in that name how it stands; who isn't told, because too many are, is so at its next."""
        if len(self._telling) > TOLD_MAX:
            return
        record = self.tracker.record(agent_id)
        with suppress(BusError):
            notice = msgspec.json.encode(Notice(record.incarnation, record.state))
            await self._bus.send(fence_subject(agent_id), notice)

    def _begin(self, tasks: dict[str, asyncio.Task[None]], agent_id: str, work: Any) -> None:
        """One thing at a time for each agent: what is still due comes up again."""
        if agent_id in tasks:
            work.close()
            return
        task = tasks[agent_id] = asyncio.create_task(work, name=f"watch: {agent_id}")
        task.add_done_callback(lambda _: tasks.pop(agent_id, None))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
