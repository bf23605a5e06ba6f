"""The watch, on a bus in memory: it hears, asks, has decided, and is never alone in being right."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from rookery.bus import Bus, Entity, Receipt
from rookery.handlers.fleet import AGENTS, AgentRecord, Register, Unregister
from rookery.handlers.fleet.beats import Beat, beat_subject, fence_subject, probe_subject
from rookery.handlers.fleet.liveness import Tracker
from rookery.handlers.fleet.watch import Known, Watch
from rookery.handlers.reactions import Command, CommandData, Decider
from rookery.schemas import AgentHeartbeatSent, Event, decode

INTERVAL = 0.2


@pytest.fixture
def bus(memory_bus: Bus) -> Bus:
    return memory_bus


async def said(bus: Bus, agent_id: str = "a") -> list[str]:
    """The agent's states as its events tell them."""
    payloads = [decode(one.payload).payload() for one in (await bus.history(Entity("agent", agent_id))).deliveries]
    return [getattr(one, "state", type(one).__name__) for one in payloads]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.002)


async def command(bus: Bus, data: CommandData, agent_id: str = "a") -> None:
    await Decider(bus, AGENTS, source="/t").handle(Command.of(data, subject=agent_id, source=f"/agents/{agent_id}"))


@asynccontextmanager
async def watching(
    bus: Bus, known: Iterable[tuple[str, AgentRecord]] = (), *, evict_seconds: float = 1e6
) -> AsyncIterator[Watch]:
    async def load() -> Known:
        return Known(known, (await bus.state()).last_sequence if known else 0)

    watch = Watch(bus, Decider(bus, AGENTS, source="/nodes/n"), Tracker(evict_seconds=evict_seconds), load)
    task = asyncio.create_task(watch.run())
    try:
        await until(lambda: asyncio.sleep(0, watch.is_watching))
        yield watch
    finally:
        task.cancel()
        await asyncio.wait([task])


async def beat(bus: Bus, agent_id: str = "a", **told: int) -> None:
    await bus.send(beat_subject(agent_id), msgspec.json.encode(Beat(time=datetime.now(UTC), **told)))


async def test_who_falls_silent_is_suspect_then_dead_then_evicted_and_the_events_say_why(bus: Bus) -> None:
    async with watching(bus, evict_seconds=0.05) as watch:
        await command(bus, Register(heartbeat_interval_seconds=INTERVAL))
        await until(lambda: asyncio.sleep(0, watch.decided["evict"] == 1))
    assert await said(bus) == ["AgentRegistered", "suspect", "expired", "evicted"]
    events = [decode(one.payload) for one in (await bus.history(Entity("agent", "a"))).deliveries]
    suspect, expired = (event.payload() for event in events[1:3])
    assert (suspect.incarnation, expired.incarnation) == (1, 1)  # type: ignore[attr-defined]
    assert "beats every 0.2 s" in suspect.reason  # type: ignore[attr-defined]
    silent_seconds = (events[2].time - events[0].time).total_seconds()
    assert silent_seconds >= 1.75 * INTERVAL
    assert {event.source for event in events[1:]} == {"/nodes/n"}


async def test_two_who_watch_the_same_decide_each_step_once(bus: Bus) -> None:
    async with watching(bus) as one, watching(bus) as other:
        await command(bus, Register(heartbeat_interval_seconds=INTERVAL))

        async def both_know() -> bool:
            return all(watch.tracker.record("a").state == "expired" for watch in (one, other))

        await until(both_know)
        assert one.decided["suspect"] + other.decided["suspect"] == 1
        assert one.decided["expire"] + other.decided["expire"] == 1
    assert await said(bus) == ["AgentRegistered", "suspect", "expired"]


async def test_a_suspect_that_answers_the_probe_is_alive_again(bus: Bus) -> None:
    asked = 0

    async def answer(_: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return msgspec.json.encode(Beat(time=datetime.now(UTC), incarnation=1, active_assignments=4))

    await bus.serve(probe_subject("a"), answer, queue="agent")
    async with watching(bus) as watch:
        await command(bus, Register(heartbeat_interval_seconds=INTERVAL))
        await until(lambda: asyncio.sleep(0, watch.decided["revive"] == 2))
        seen = watch.tracker.seen("a")
        assert seen is not None
        assert seen.active_assignments == 4
    assert asked >= 2
    assert (await said(bus))[:5] == ["AgentRegistered", "suspect", "alive", "suspect", "alive"]


async def test_an_answer_that_is_there_before_the_suspicion_is_durable_counts(bus: Bus) -> None:
    """As over NATS, where an answer takes a millisecond, and to store something takes ten."""

    async def answer(_: bytes) -> bytes:
        return msgspec.json.encode(Beat(time=datetime.now(UTC), incarnation=1))

    class Slow:
        def __getattr__(self, name: str) -> object:
            return getattr(bus, name)

        async def append(self, events: Sequence[Event], **how: Any) -> list[Receipt]:
            await until(lambda: asyncio.sleep(0, watch.tracker.seen("a") is not None))
            return await bus.append(events, **how)

    await bus.serve(probe_subject("a"), answer, queue="agent")
    async with watching(Slow()) as watch:  # type: ignore[arg-type]
        await command(bus, Register(heartbeat_interval_seconds=INTERVAL))
        await until(lambda: asyncio.sleep(0, watch.decided["revive"] == 1))
    assert (await said(bus))[:3] == ["AgentRegistered", "suspect", "alive"]


async def test_a_probe_that_answers_for_another_life_saves_nobody(bus: Bus) -> None:
    async def answer(_: bytes) -> bytes:
        return msgspec.json.encode(Beat(time=datetime.now(UTC), incarnation=1))

    await bus.serve(probe_subject("a"), answer, queue="agent")
    async with watching(bus) as watch:
        await command(bus, Register())
        await command(bus, Register(heartbeat_interval_seconds=INTERVAL, again=True))
        await until(lambda: asyncio.sleep(0, watch.decided["expire"] == 1))
    assert (await said(bus))[-1] == "expired"


async def test_who_beats_is_left_alone_by_beat_or_by_event(bus: Bus) -> None:
    async with watching(bus) as watch:
        for agent_id in ("a", "b", "silent"):
            await command(bus, Register(heartbeat_interval_seconds=INTERVAL), agent_id)

        async def is_over() -> bool:
            await beat(bus, "a", incarnation=1)
            await bus.publish(Event.of(AgentHeartbeatSent(), subject="b", source="/agents/b"))
            return watch.decided["expire"] == 1

        await until(is_over)
    assert (await said(bus, "silent"))[-1] == "expired"
    assert "expired" not in [*await said(bus, "a"), *await said(bus, "b")]


async def test_bad_beats_are_counted_and_change_nothing(bus: Bus) -> None:
    async with watching(bus) as watch:
        await command(bus, Register())
        await until(lambda: asyncio.sleep(0, len(watch.tracker) == 1))
        before = (await bus.state()).last_sequence
        future = datetime.now(UTC) + timedelta(hours=1)
        await bus.send("beat.a", b"not a beat")
        await bus.send("beat.a", msgspec.json.encode(Beat(time=future)))
        await beat(bus, "nobody")
        await beat(bus, "a", incarnation=9)
        await beat(bus, "a")
        assert watch.tracker.counts == {"malformed": 1, "future": 1, "unknown": 1, "fenced": 1, "taken": 1}
        assert (await bus.state()).last_sequence == before


async def test_the_dead_that_beat_are_told(bus: Bus) -> None:
    told = asyncio.Queue[bytes]()
    await bus.listen(fence_subject("a"), lambda _, payload: told.put_nowait(payload))
    async with watching(bus) as watch:
        await command(bus, Register())
        await command(bus, Unregister())
        await until(lambda: asyncio.sleep(0, watch.tracker.record("a").state == "unregistered"))
        await beat(bus, incarnation=1)
        async with asyncio.timeout(10):
            assert msgspec.json.decode(await told.get()) == {"incarnation": 1, "state": "unregistered"}


async def test_who_beats_and_is_not_registered_is_told(bus: Bus) -> None:
    """The bus was made anew, say: then its agents have to register once more."""
    told = asyncio.Queue[bytes]()
    await bus.listen(fence_subject("a"), lambda _, payload: told.put_nowait(payload))
    async with watching(bus):
        await beat(bus, incarnation=3)
        async with asyncio.timeout(10):
            assert msgspec.json.decode(await told.get()) == {"incarnation": 0, "state": "unknown"}


async def test_what_was_known_wrongly_is_looked_up_and_put_right(bus: Bus) -> None:
    await command(bus, Register(heartbeat_interval_seconds=INTERVAL))
    record = (await Decider(bus, AGENTS, source="/t").look("a"))[0]
    await command(bus, Unregister())
    async with watching(bus, [("a", record)]) as watch:
        await until(lambda: asyncio.sleep(0, watch.tracker.record("a").state == "unregistered"))
        assert not watch.decided


async def test_a_bus_that_can_not_be_reached_for_a_while_kills_nobody(bus: Bus) -> None:
    """The memory bus is never away, so the watch is told so."""

    class Away:
        connected = True

        def __getattr__(self, name: str) -> object:
            return getattr(bus, name)

    away = Away()
    async with watching(away) as watch:  # type: ignore[arg-type]
        await command(bus, Register(heartbeat_interval_seconds=1.0))
        await until(lambda: asyncio.sleep(0, len(watch.tracker) == 1))
        away.connected = False
        watch.tracker._agents["a"].seen_at -= 100.0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.6):
                await until(lambda: asyncio.sleep(0, bool(watch.decided)))
        away.connected = True
        long_ago = asyncio.get_running_loop().time() - 50
        await until(lambda: asyncio.sleep(0, watch.tracker._agents["a"].seen_at > long_ago))
        assert not watch.decided


async def test_whoever_beats_is_told_also_while_something_is_decided_about_that_name(bus: Bus) -> None:
    told = asyncio.Queue[bytes]()
    deciding = asyncio.Event()
    await bus.listen(fence_subject("a"), lambda _, payload: told.put_nowait(payload))

    class Stuck:
        """A bus on which what is decided never becomes durable."""

        def __getattr__(self, name: str) -> object:
            return getattr(bus, name)

        async def append(self, *_: object, **__: object) -> None:
            deciding.set()
            await asyncio.Event().wait()

    async with watching(Stuck()):  # type: ignore[arg-type]
        await command(bus, Register(heartbeat_interval_seconds=0.05))
        async with asyncio.timeout(10):
            await deciding.wait()
            await beat(bus, incarnation=9)
            assert msgspec.json.decode(await told.get())["incarnation"] == 1
