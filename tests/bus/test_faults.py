"""The bus while things break: nothing that was acknowledged is lost, and nothing is there twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from rookery.bus import EVENT_STREAM, BusUnavailable, ConcurrencyConflict, Delivery, Entity, NatsBus
from rookery.ops.nats_server import NatsServer
from rookery.schemas import Event, decode

MakeEvent = Callable[..., Event]

ONE = Entity("assignment", "as-1")
# The shortest window that JetStream allows: a resend after it is only recognised by reading back.
FORGETFUL = msgspec.structs.replace(EVENT_STREAM, duplicate_window=100_000_000)
FORGETFUL_SECONDS = 0.15


@pytest.fixture
async def far_bus(wire: Any) -> AsyncIterator[NatsBus]:
    """A bus at the other end of the wire, on a stream that soon forgets the ids it has seen."""
    async with await NatsBus.connect(wire.url, stream=FORGETFUL) as bus:
        yield bus
        wire.deaf = False


@pytest.fixture
async def near_bus(nats_server: NatsServer, far_bus: NatsBus) -> AsyncIterator[NatsBus]:
    """A bus that sees what the server really holds."""
    async with await NatsBus.connect(nats_server.url, stream=FORGETFUL) as bus:
        yield bus


async def crash(server: NatsServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    assert await server.wait() == -signal.SIGKILL
    await server.restart()


async def read_until(bus: NatsBus, sequence: int, after: int = 0) -> list[Delivery]:
    found: list[Delivery] = []
    async for batch in bus.read(after=after):
        found += batch
        if found[-1].sequence >= sequence:
            break
    return found


async def wait_for_messages(bus: NatsBus, count: int) -> None:
    async with asyncio.timeout(10):
        while (await bus.state()).messages < count:
            await asyncio.sleep(0.005)


async def lose_the_answer(wire: Any, near_bus: NatsBus, messages: int) -> None:
    """Let the server store what was sent and forget its ids, and lose its answer and the connection."""
    await wait_for_messages(near_bus, messages)
    await asyncio.sleep(FORGETFUL_SECONDS)
    await wire.cut()
    wire.deaf = False


class TestServerCrash:
    async def test_every_publish_is_stored_exactly_once(
        self, nats_server: NatsServer, nats_bus: NatsBus, make_event: MakeEvent
    ) -> None:
        events = [[make_event(f"as-{caller}") for _ in range(6)] for caller in range(500)]
        receipts: dict[str, int] = {}
        thirds = [asyncio.Event(), asyncio.Event(), asyncio.Event()]

        async def caller(own: list[Event]) -> None:
            for event in own:
                receipts[event.id] = (await nats_bus.publish(event)).sequence
                thirds[min(len(receipts) // 1_000, 2)].set()

        reader = asyncio.create_task(read_until(nats_bus, 3_000))
        callers = asyncio.gather(*(caller(own) for own in events))
        for third in thirds:
            await third.wait()
            returned = dict(receipts)
            await crash(nats_server)
            async with await NatsBus.connect(nats_server.url) as other:
                stored = {
                    decode(one.payload).id: one.sequence for one in await read_until(other, max(returned.values()))
                }
            assert returned.items() <= stored.items()
        await callers

        deliveries = await reader
        assert [one.sequence for one in deliveries] == list(range(1, 3_001))
        assert {decode(one.payload).id: one.sequence for one in deliveries} == receipts

    async def test_a_crash_before_the_answer_is_waited_out(
        self, nats_server: NatsServer, nats_bus: NatsBus, make_event: MakeEvent
    ) -> None:
        publishing = [asyncio.create_task(nats_bus.publish(make_event())) for _ in range(500)]
        os.kill(nats_server.pid, signal.SIGSTOP)
        while nats_bus.pending_events < 500:
            await asyncio.sleep(0)
        await crash(nats_server)
        receipts = await asyncio.gather(*publishing)
        assert sorted(receipt.sequence for receipt in receipts) == list(range(1, 501))
        assert (await nats_bus.state()).messages == 500

    async def test_appends_conflict_on_what_is_stored_and_nothing_else(
        self, nats_server: NatsServer, nats_bus: NatsBus, make_event: MakeEvent
    ) -> None:
        won: list[int] = []

        async def rival() -> None:
            while True:
                last = (await nats_bus.history(ONE)).sequence
                try:
                    won.append((await nats_bus.append([make_event("as-1")], expected={ONE: last}))[0].sequence)
                except ConcurrencyConflict:
                    continue
                return

        rivals = asyncio.gather(*(rival() for _ in range(20)))
        for wins in (3, 9):
            while len(won) < wins:
                await asyncio.sleep(0)
            await crash(nats_server)
        await rivals
        assert sorted(won) == list(range(1, 21))

    async def test_readers_and_services_come_back(
        self, nats_server: NatsServer, nats_bus: NatsBus, make_event: MakeEvent
    ) -> None:
        async def echo(payload: bytes) -> bytes:
            return payload

        await nats_bus.serve("cmd.test.echo", echo, queue="test")
        await nats_bus.publish(make_event())
        batches = nats_bus.read()
        assert [one.sequence for one in await anext(batches)] == [1]
        waiting = asyncio.ensure_future(anext(batches))
        await crash(nats_server)
        await nats_bus.publish(make_event())
        assert [one.sequence for one in await waiting] == [2]
        assert await nats_bus.request("cmd.test.echo", b"x") == b"x"
        await batches.aclose()

    async def test_a_graceful_restart_is_survived_too(
        self, nats_server: NatsServer, nats_bus: NatsBus, make_event: MakeEvent
    ) -> None:
        await nats_bus.publish(make_event())
        os.kill(nats_server.pid, signal.SIGTERM)
        await nats_server.wait()
        publishing = asyncio.create_task(nats_bus.publish(make_event()))
        await nats_server.restart()
        assert (await publishing).sequence == 2

    async def test_without_a_server_calls_give_up_and_say_what_is_known(
        self, nats_server: NatsServer, make_event: MakeEvent
    ) -> None:
        async with await NatsBus.connect(nats_server.url, publish_deadline_seconds=0.2) as bus:
            os.kill(nats_server.pid, signal.SIGKILL)
            await nats_server.wait()
            while bus.connected:
                await asyncio.sleep(0)
            with pytest.raises(BusUnavailable, match=r"not connected.*it was not sent"):
                await bus.publish(make_event())
            with pytest.raises(BusUnavailable, match="not reached"):
                await bus.request("cmd.test.echo", b"", timeout_seconds=0.05)


class TestLostAnswers:
    async def test_a_lone_publish_is_resolved_by_reading_back(
        self, wire: Any, far_bus: NatsBus, near_bus: NatsBus, make_event: MakeEvent
    ) -> None:
        await far_bus.publish(make_event())
        wire.deaf = True
        publishing = asyncio.create_task(far_bus.publish(make_event()))
        await lose_the_answer(wire, near_bus, 2)
        assert await publishing == (2, False)
        assert (await near_bus.state()).messages == 2

    async def test_a_batch_is_resolved_by_reading_back(
        self, wire: Any, far_bus: NatsBus, near_bus: NatsBus, make_event: MakeEvent
    ) -> None:
        wire.deaf = True
        events = [make_event(f"as-{number % 90}") for number in range(300)]
        publishing = [asyncio.create_task(far_bus.publish(event)) for event in events]
        await lose_the_answer(wire, near_bus, 300)
        receipts = await asyncio.gather(*publishing)
        stored = {decode(one.payload).id: one.sequence for one in await read_until(near_bus, 300)}
        assert {event.id: receipt.sequence for event, receipt in zip(events, receipts, strict=True)} == stored
        assert not any(receipt.duplicate for receipt in receipts)
        assert (await near_bus.state()).messages == 300

    async def test_what_never_arrived_is_sent_again(
        self, wire: Any, far_bus: NatsBus, near_bus: NatsBus, make_event: MakeEvent
    ) -> None:
        await wire.cut()
        receipts = await asyncio.gather(*(far_bus.publish(make_event()) for _ in range(50)))
        assert sorted(receipt.sequence for receipt in receipts) == list(range(1, 51))

    @pytest.mark.parametrize("count", [1, 5])
    @pytest.mark.parametrize("expected", [{}, {ONE: 0}])
    async def test_an_append_is_resolved_by_reading_back(
        self,
        wire: Any,
        far_bus: NatsBus,
        near_bus: NatsBus,
        make_event: MakeEvent,
        count: int,
        expected: dict[Entity, int],
    ) -> None:
        wire.deaf = True
        events = [make_event("as-1") for _ in range(count)]
        appending = asyncio.create_task(far_bus.append(events, expected=expected))
        await lose_the_answer(wire, near_bus, count)
        assert await appending == [(sequence, False) for sequence in range(1, count + 1)]
        assert (await near_bus.state()).messages == count

    async def test_an_append_that_lost_its_answer_and_the_race_conflicts(
        self, wire: Any, far_bus: NatsBus, near_bus: NatsBus, make_event: MakeEvent
    ) -> None:
        wire.deaf = True
        winner = await near_bus.append([make_event("as-1")], expected={ONE: 0})
        appending = asyncio.create_task(far_bus.append([make_event("as-1")], expected={ONE: 0}))
        await lose_the_answer(wire, near_bus, 1)
        with pytest.raises(ConcurrencyConflict) as conflict:
            await appending
        assert conflict.value.actual == winner[0].sequence

    async def test_silence_ends_at_the_deadline_and_repeating_is_safe(
        self, wire: Any, nats_server: NatsServer, make_event: MakeEvent
    ) -> None:
        event = make_event()
        async with await NatsBus.connect(wire.url, publish_deadline_seconds=0.2) as hasty:
            wire.deaf = True
            with pytest.raises(BusUnavailable, match="unknown, and publishing the same event again is safe"):
                await hasty.publish(event)
            wire.deaf = False
        async with await NatsBus.connect(nats_server.url) as bus:  # which has the time that a disk may take
            await wait_for_messages(bus, 1)
            assert await bus.publish(event) == (1, True)
            assert (await bus.state()).messages == 1

    async def test_a_request_whose_answer_is_lost_fails_at_once(self, wire: Any, far_bus: NatsBus) -> None:
        begun = asyncio.Event()

        async def handle(payload: bytes) -> bytes:
            begun.set()
            return payload

        await far_bus.serve("cmd.test.echo", handle, queue="test")
        wire.deaf = True
        asking = asyncio.create_task(far_bus.request("cmd.test.other", b"", timeout_seconds=60))
        await asyncio.sleep(0.01)
        await wire.cut()
        with pytest.raises(BusUnavailable):
            await asking

    async def test_a_reader_loses_nothing_when_the_wire_is_cut(
        self, wire: Any, far_bus: NatsBus, near_bus: NatsBus, make_event: MakeEvent
    ) -> None:
        reader = asyncio.create_task(read_until(far_bus, 400))
        for _ in range(4):
            await asyncio.gather(*(near_bus.publish(make_event()) for _ in range(100)))
            await wire.cut()
        assert [one.sequence for one in await reader] == list(range(1, 401))

    async def test_another_publishers_event_stays_a_duplicate(
        self, wire: Any, far_bus: NatsBus, near_bus: NatsBus, make_event: MakeEvent
    ) -> None:
        event = make_event()
        await near_bus.publish(event)
        assert await far_bus.publish(event) == (1, True)


class TestBackPressure:
    async def test_no_more_events_wait_than_allowed(self, nats_server: NatsServer, make_event: MakeEvent) -> None:
        async with await NatsBus.connect(nats_server.url, pending_events_max=10) as bus:
            os.kill(nats_server.pid, signal.SIGSTOP)
            publishing = [asyncio.create_task(bus.publish(make_event())) for _ in range(50)]
            for _ in range(20):
                await asyncio.sleep(0)
                assert bus.pending_events <= 10
            assert bus.pending_events == 10
            os.kill(nats_server.pid, signal.SIGCONT)
            receipts = await asyncio.gather(*publishing)
            assert sorted(receipt.sequence for receipt in receipts) == list(range(1, 51))
            assert bus.pending_events == 0

    async def test_cancelled_callers_give_their_places_back(
        self, nats_server: NatsServer, make_event: MakeEvent
    ) -> None:
        async with await NatsBus.connect(nats_server.url, pending_events_max=10) as bus:
            os.kill(nats_server.pid, signal.SIGSTOP)
            publishing = [asyncio.create_task(bus.publish(make_event())) for _ in range(50)]
            while bus.pending_events < 10:
                await asyncio.sleep(0)
            for task in publishing:
                task.cancel()
            await asyncio.gather(*publishing, return_exceptions=True)
            os.kill(nats_server.pid, signal.SIGCONT)
            receipts = await asyncio.gather(*(bus.publish(make_event()) for _ in range(30)))
            assert not any(receipt.duplicate for receipt in receipts)
            assert bus.pending_events == 0


async def test_a_bus_that_is_closed_while_it_reconnects_leaves_nothing_running(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = await NatsBus.connect(nats_server.url)
    reconnecting, refusals = asyncio.Event(), iter([ConnectionRefusedError()])

    async def refused(_: Any) -> None:
        reconnecting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:  # as Python 3.11's wait_for loses one where the server refuses just then
            if refusal := next(refusals, None):
                raise refusal from None
            raise

    before = asyncio.all_tasks()
    monkeypatch.setattr(bus._connection.client, "_connect_to_server", refused)
    os.kill(nats_server.pid, signal.SIGKILL)
    await nats_server.wait()
    await reconnecting.wait()
    await bus.close()
    assert [task for task in asyncio.all_tasks() - before if "reconnect" in repr(task)] == []
    await nats_server.restart()
