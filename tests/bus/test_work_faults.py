"""Work while things break: every task is done, whatever happens to the server, the wire or the queue's consumer."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from rookery.bus import BusUnavailable, NatsBus, StreamDrifted, Work, WorkQueueFull
from rookery.ops.nats_server import NatsServer
from rookery.schemas import AssignmentCreated, Event
from rookery.tests.bus.conftest import asked
from rookery.tests.bus.paces import Pace, at_some_pace

ACK_WAIT_SECONDS = 0.5


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await nats.connect(nats_server.url)
    yield client
    await client.close()


@pytest.fixture
async def far_bus(wire: Any) -> AsyncIterator[NatsBus]:
    """A bus at the other end of the wire."""
    async with await NatsBus.connect(wire.url) as bus:
        yield bus


def task(subject: str = "as-1", *, kind: str = "code.review", **data: Any) -> Event:
    return Event.of(AssignmentCreated(kind=kind, **data), subject=subject, source="/people/ada")


async def crash(server: NatsServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    await server.restart()


async def next_of(tasks: AsyncGenerator[Work, None]) -> Work:
    async with asyncio.timeout(20):
        return await anext(tasks)


class Agents:
    """Agents who do all tasks of a bus, each task as often as it comes."""

    def __init__(self, bus: NatsBus, count: int) -> None:
        self.done: set[str] = set()
        self.attempts = 0
        self._finished = asyncio.Event()
        self._wanted = count
        self._agents = [asyncio.create_task(self._agent(bus)) for _ in range(3)]

    async def _agent(self, bus: NatsBus) -> None:
        async with aclosing(
            bus.work("code.review", in_hand_max=4, ack_wait_seconds=ACK_WAIT_SECONDS, attempts_max=99)
        ) as tasks:
            async for found in tasks:
                self.attempts += 1
                await found.done()
                self.done.add(found.event.subject)
                if len(self.done) == self._wanted:
                    self._finished.set()

    async def finished(self) -> None:
        async with asyncio.timeout(40):
            await self._finished.wait()
        for agent in self._agents:
            agent.cancel()
        await asyncio.gather(*self._agents, return_exceptions=True)


class TestServerCrash:
    async def test_every_task_that_was_given_is_done(self, nats_server: NatsServer, nats_bus: NatsBus) -> None:
        agents = Agents(nats_bus, 600)

        async def giver(name: int) -> None:
            for number in range(20):
                await nats_bus.give(task(f"as-{name}-{number}"))

        giving = asyncio.gather(*(giver(name) for name in range(30)))
        for reached in (50, 250):
            while len(agents.done) < reached:
                await asyncio.sleep(0.001)
            await crash(nats_server)
        await giving
        await agents.finished()
        assert agents.done == {f"as-{name}-{number}" for name in range(30) for number in range(20)}

    async def test_what_was_in_hand_during_a_crash_can_be_settled_after_it(
        self, nats_server: NatsServer, nats_bus: NatsBus
    ) -> None:
        await nats_bus.give(task())
        async with aclosing(nats_bus.work("code.review", in_hand_max=1)) as tasks:
            found = await next_of(tasks)
            os.kill(nats_server.pid, signal.SIGKILL)
            await nats_server.wait()
            settling = asyncio.create_task(found.done())
            await nats_server.restart()
            await settling
            await nats_bus.give(task("next"))
            following = await next_of(tasks)
            assert following.event.subject == "next"
            await following.done()
        async with await nats.connect(nats_server.url) as client:
            assert (await asked(client, "STREAM.INFO.WORK"))["state"]["messages"] == 0

    async def test_what_was_given_back_before_a_crash_comes_again_after_it(
        self, nats_server: NatsServer, nats_bus: NatsBus
    ) -> None:
        await nats_bus.give(task())
        async with aclosing(
            nats_bus.work("code.review", in_hand_max=1, ack_wait_seconds=ACK_WAIT_SECONDS, attempts_max=99)
        ) as tasks:
            for _ in range(2):
                found = await next_of(tasks)
                await found.again(0.01)
                await crash(nats_server)
            await (await next_of(tasks)).done()

    async def test_who_waits_when_the_server_dies_gets_what_comes_after(
        self, nats_server: NatsServer, nats_bus: NatsBus
    ) -> None:
        async with aclosing(nats_bus.work("code.review", agent_id="bob", in_hand_max=2)) as tasks:
            waiting = asyncio.create_task(next_of(tasks))
            await asyncio.sleep(0.05)
            await crash(nats_server)
            await nats_bus.give(task(agent_id="bob"))
            assert (await waiting).event.payload() == AssignmentCreated(kind="code.review", agent_id="bob")
            await nats_bus.give(task("for-anyone"))
            assert (await next_of(tasks)).event.subject == "for-anyone"

    async def test_work_can_be_waited_for_before_there_is_a_server(self, nats_server: NatsServer) -> None:
        async with await NatsBus.connect(nats_server.url) as bus:
            os.kill(nats_server.pid, signal.SIGKILL)
            await nats_server.wait()
            async with aclosing(bus.work("code.review", in_hand_max=1)) as tasks:
                waiting = asyncio.create_task(next_of(tasks))
                giving = asyncio.create_task(bus.give(task()))
                await nats_server.restart()
                await giving
                assert (await waiting).event.subject == "as-1"


class TestLostConnections:
    async def test_every_task_is_done_though_the_wire_is_cut(self, wire: Any, far_bus: NatsBus) -> None:
        agents = Agents(far_bus, 200)
        giving = asyncio.gather(*(far_bus.give(task(f"as-{number}")) for number in range(200)))
        for reached in (20, 80, 150):
            while len(agents.done) < reached:
                await asyncio.sleep(0.001)
            await wire.cut()
        await giving
        await agents.finished()

    async def test_a_lost_answer_gives_a_task_once(
        self, wire: Any, nats_server: NatsServer, far_bus: NatsBus, client: Client
    ) -> None:
        await far_bus.give(task("before"))
        wire.deaf = True
        giving = asyncio.create_task(far_bus.give(task()))
        async with asyncio.timeout(10):
            while (await asked(client, "STREAM.INFO.WORK"))["state"]["messages"] < 2:
                await asyncio.sleep(0.005)
        await wire.cut()
        wire.deaf = False
        assert (await giving).sequence == 2
        assert (await asked(client, "STREAM.INFO.WORK"))["state"]["messages"] == 2

    async def test_settling_says_when_the_bus_never_heard_of_it(self, wire: Any, far_bus: NatsBus) -> None:
        await far_bus.give(task())
        tasks = far_bus.work("code.review", in_hand_max=1)
        found = await next_of(tasks)
        await far_bus.close()
        with pytest.raises(BusUnavailable):
            await found.done()
        with pytest.raises(BusUnavailable):
            await next_of(tasks)


class TestQueue:
    async def test_settling_a_task_of_a_lost_queue_leaves_the_new_queue_alone(
        self, nats_bus: NatsBus, client: Client
    ) -> None:
        await nats_bus.give(task("old"))
        async with aclosing(nats_bus.work("code.review", in_hand_max=1)) as tasks:
            found = await next_of(tasks)
            assert (await asked(client, "STREAM.DELETE.WORK"))["success"]
            async with aclosing(nats_bus.work("another", in_hand_max=1)) as others:
                waiting = asyncio.create_task(next_of(others))
                async with asyncio.timeout(10):
                    while (await asked(client, "STREAM.INFO.WORK")).get("error"):
                        await asyncio.sleep(0.005)
                assert (await nats_bus.give(task("new"))).sequence == 1
                await found.done()
                assert (await next_of(tasks)).event.subject == "new"
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)

    async def test_what_was_fetched_and_finds_no_hand_free_is_kept(self, nats_bus: NatsBus) -> None:
        async def check(pace: Pace) -> None:
            kind, bob = pace.capability, f"bob-{pace.capability}"
            options: dict[str, Any] = {"agent_id": bob, "in_hand_max": 1, "ack_wait_seconds": pace.ack_wait_seconds}
            async with (
                aclosing(nats_bus.work(kind, **options)) as tasks,
                aclosing(nats_bus.work(kind, **options)) as others,
            ):
                waiting = asyncio.create_task(next_of(tasks))
                await asyncio.sleep(pace.ack_wait_seconds / 4)  # both kinds are asked for by now, so that both come
                await asyncio.gather(nats_bus.give(task(kind=kind)), nats_bus.give(task(kind=kind, agent_id=bob)))
                first = await waiting
                waiting, waiting_too = (asyncio.create_task(next_of(each)) for each in (tasks, others))
                try:
                    for _ in range(8):
                        await asyncio.sleep(pace.ack_wait_seconds / 4)
                        await first.busy()
                    assert not waiting_too.done()
                    await first.done()
                    assert (await waiting).attempt == 1
                finally:
                    for each in (waiting, waiting_too):
                        each.cancel()
                    await asyncio.gather(waiting, waiting_too, return_exceptions=True)

        await at_some_pace(check)

    async def test_agents_may_differ_in_how_long_they_are_waited_for(self, nats_bus: NatsBus) -> None:
        seen: set[str] = set()
        async with (
            aclosing(nats_bus.work("code.review", in_hand_max=1, ack_wait_seconds=30)) as patient,
            aclosing(nats_bus.work("code.review", in_hand_max=1, ack_wait_seconds=ACK_WAIT_SECONDS)) as hasty,
        ):
            for number in range(2):
                await nats_bus.give(task(f"as-{number}"))
            for tasks in (patient, hasty):
                found = await next_of(tasks)
                seen.add(found.event.subject)
                await found.done()
        assert seen == {"as-0", "as-1"}

    async def test_a_deleted_consumer_is_made_again(self, nats_bus: NatsBus, client: Client) -> None:
        async with aclosing(nats_bus.work("code.review", in_hand_max=1)) as tasks:
            for number in range(3):
                await nats_bus.give(task(f"as-{number}"))
                found = await next_of(tasks)
                assert found.event.subject == f"as-{number}"
                await found.done()
                [name] = (await asked(client, "CONSUMER.NAMES.WORK"))["consumers"]
                assert (await asked(client, f"CONSUMER.DELETE.WORK.{name}"))["success"]

    @pytest.mark.parametrize("in_hand_max", [1, 8])
    async def test_what_is_no_work_is_thrown_away_and_said(
        self, nats_bus: NatsBus, client: Client, caplog: pytest.LogCaptureFixture, in_hand_max: int
    ) -> None:
        await nats_bus.give(task("before"))
        for payload in (b"not an event", b""):
            await client.request("work.any.code%2Ereview", payload)  # the server answers when it has it
        await nats_bus.give(task("after"))
        async with aclosing(nats_bus.work("code.review", in_hand_max=in_hand_max)) as tasks:
            for subject in ("before", "after"):
                found = await next_of(tasks)
                assert found.event.subject == subject
                await found.done()
        assert caplog.text.count("what is no work, and it was thrown away") == 2
        assert (await asked(client, "STREAM.INFO.WORK"))["state"]["messages"] == 0

    async def test_a_full_queue_refuses_and_drops_nothing(self, nats_bus: NatsBus, client: Client) -> None:
        await nats_bus.give(task("first"))
        config = (await asked(client, "STREAM.INFO.WORK"))["config"]
        await asked(client, "STREAM.UPDATE.WORK", {**config, "max_msgs": 1})
        with pytest.raises(WorkQueueFull, match="start more agents"):
            await nats_bus.give(task("second"))
        assert (await asked(client, "STREAM.INFO.WORK"))["state"]["messages"] == 1

    async def test_a_queue_that_would_lose_work_is_not_used(self, nats_bus: NatsBus, client: Client) -> None:
        theirs = {"name": "WORK", "subjects": ["work.>"], "retention": "interest"}
        await asked(client, "STREAM.CREATE.WORK", theirs)
        with pytest.raises(StreamDrifted, match="retention is 'interest', not 'workqueue'"):
            await nats_bus.give(task())
        with pytest.raises(StreamDrifted):
            await next_of(nats_bus.work("code.review", in_hand_max=1))
