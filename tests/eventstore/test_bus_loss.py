"""A bus that loses what the log holds: nothing is lost, nothing is doubled, and what is told says how much it was."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.bus import MemoryBus, NatsBus
from rookery.eventstore import BusRegressed, Ingest, Log
from rookery.eventstore.agreement import agreement
from rookery.eventstore.ingest import Regression
from rookery.ops.nats_server import ANY_FREE_PORT, NatsServer
from rookery.schemas import encode
from rookery.tests.blocks import move_sequence
from rookery.tests.eventstore.deliveries import event
from rookery.tests.eventstore.test_ingest import logged, publish, published, run_for_a_while, running, until


class LossyBus(MemoryBus):
    """A bus that can lose its end, and then hands the same sequences out again, as a damaged nats-server does."""

    def lose(self, after: int) -> None:
        del self._events[after:]
        self._sequences = {event_id: at for event_id, at in self._sequences.items() if at <= after}

    def held(self) -> list[bytes]:
        return [delivery.payload for delivery in self._events]


async def take_all(bus: LossyBus, log: Log) -> list[Regression]:
    found: list[Regression] = []
    async with running(Ingest(bus, log, "here", on_regression=found.append)) as ingest:
        if bus.held() or log.vector():
            await until_caught_up(ingest, bus, log)
    return found


async def until_caught_up(ingest: Ingest, bus: LossyBus, log: Log) -> None:
    async with ingest._changed:
        await ingest._changed.wait_for(
            lambda: ingest._recognised and ingest.position == len(bus.held()) and set(logged(log)) >= set(bus.held())
        )


async def test_a_bus_that_lost_its_end_is_read_on_from_where_both_agree(log: Log) -> None:
    bus = LossyBus()
    await publish(bus, 1, 10)
    assert await take_all(bus, log) == []
    bus.lose(after=7)
    (found,) = await take_all(bus, log)
    assert (found.origin, found.position, found.agreed, found.events) == ("here", 10, 7, 3)
    assert "the bus ends at 7" in found.reason
    assert logged(log) == published(1, 10)


async def test_sequences_that_are_handed_out_again_are_recognised(log: Log) -> None:
    bus = LossyBus()
    await publish(bus, 1, 10)
    await take_all(bus, log)
    bus.lose(after=7)
    await publish(bus, 11, 16)  # with the sequences from 8 on
    await publish(bus, 9, 9)  # published once more, because its publisher heard nothing
    (found,) = await take_all(bus, log)
    assert (found.agreed, found.events) == (7, 3)
    assert "another event at 10" in found.reason
    assert logged(log) == published(1, 16)
    assert await take_all(bus, log) == []  # from here on, it is an ordinary bus


async def test_what_a_bus_has_in_the_place_of_a_duplicate_is_not_passed_over(log: Log) -> None:
    bus = LossyBus()
    await publish(bus, 1, 3)
    await take_all(bus, log)
    bus.lose(after=1)
    await publish(bus, 3, 3)
    await take_all(bus, log)  # what the log took last from the bus, at 2, has no line
    bus.lose(after=1)
    await publish(bus, 4, 4)
    await take_all(bus, log)
    assert logged(log) == published(1, 4)


async def test_a_bus_that_is_restored_from_a_backup_gives_back_what_only_it_has(log: Log) -> None:
    bus, backup = LossyBus(), LossyBus()
    await publish(bus, 1, 10)
    await take_all(bus, log)
    backup._events = bus._events[:]
    await publish(backup, 11, 12)
    bus.lose(after=4)
    await publish(bus, 13, 14)
    await take_all(bus, log)
    (found,) = await take_all(backup, log)
    assert found.events == 2
    assert sorted(logged(log)) == sorted(published(1, 14))


async def test_a_bus_that_has_nothing_in_common_is_not_read_unless_it_is_said_to_be_the_one(log: Log) -> None:
    bus, other = LossyBus(), LossyBus()
    await publish(bus, 1, 10)
    await take_all(bus, log)
    await publish(other, 101, 112)
    assert await agreement(other, log, "here") is None
    with pytest.raises(BusRegressed, match="--new-bus"):
        await run_for_a_while(Ingest(other, log, "here"))
    assert logged(log) == published(1, 10)
    found: list[Regression] = []
    async with running(Ingest(other, log, "here", on_regression=found.append, accept_regression=True)) as ingest:
        await ingest.wait_for(12)
    assert [(one.agreed, one.events) for one in found] == [(0, 10)]
    assert logged(log) == published(1, 10) + published(101, 112)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 6)),
        st.tuples(st.just("again"), st.integers(1, 30)),  # somebody publishes once more what was published
        st.tuples(st.just("lose"), st.integers(0, 12)),
        st.tuples(st.just("take"), st.just(0)),
    ),
    max_size=14,
)


@pytest.fixture(scope="module")
def folders() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


@given(steps=STEPS)
@settings(max_examples=20, deadline=None)
def test_however_often_the_bus_loses_its_end_the_log_has_everything_once(
    folders: Path, steps: list[tuple[str, int]]
) -> None:
    async def live() -> None:
        bus, count = LossyBus(), 3
        with Log.open(folders / str(len(list(folders.iterdir()))), segment_events_max=4) as log:
            await publish(bus, 1, count)
            await take_all(bus, log)
            for step, number in [*steps, ("take", 0)]:
                if step == "publish":
                    await publish(bus, count + 1, count + number)
                    count += number
                elif step == "again":
                    await publish(bus, min(number, count), min(number, count))
                elif step == "lose":
                    bus.lose(after=max(1, len(bus.held()) - number))
                else:
                    before = logged(log)
                    await take_all(bus, log)
                    assert logged(log)[: len(before)] == before
                    assert len(logged(log)) == len(set(logged(log)))
            assert set(logged(log)) >= set(bus.held())

    asyncio.run(live())


def damage(server_folder: Path, payload: bytes) -> None:
    """Flip a bit of one event in the stream's store, and remove the index that would show what was there."""
    messages = server_folder / "nats" / "jetstream" / "$G" / "streams" / "EVENTS" / "msgs"
    (messages / "index.db").unlink(missing_ok=True)
    for block in messages.glob("*.blk"):
        held = bytearray(block.read_bytes())
        if (at := held.find(payload)) >= 0:
            held[at + 20] ^= 1
            block.write_bytes(held)
            return
    raise AssertionError("the event is in no block")


async def restarted_with_a_flipped_bit(server: NatsServer, folder: Path, at: int) -> None:
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    damage(folder, encode(event(f"run-{at}", at=at)))
    await server.restart()


async def test_a_server_that_silently_lost_its_end_while_nobody_looked_costs_the_log_nothing(
    log: Log, nats_server: NatsServer, nats_bus: NatsBus, tmp_path: Path
) -> None:
    for at in range(1, 11):
        await nats_bus.publish(event(f"run-{at}", at=at))
    async with running(Ingest(nats_bus, log, "here")) as ingest:
        await ingest.wait_for(10)
    await restarted_with_a_flipped_bit(nats_server, tmp_path / "nats-server", 8)
    assert (await nats_bus.state()).last_sequence == 7  # and nobody was told
    for at in range(11, 16):
        await nats_bus.publish(event(f"run-{at}", at=at))  # with the sequences from 8 on
    found: list[Regression] = []
    async with running(Ingest(nats_bus, log, "here", on_regression=found.append)) as ingest:
        await ingest.wait_for(12)
    assert [(one.position, one.agreed, one.events) for one in found] == [(10, 7, 3)]
    assert logged(log) == published(1, 15)


async def test_a_server_that_silently_lost_its_end_while_it_is_read_costs_the_log_nothing(
    log: Log, nats_server: NatsServer, nats_bus: NatsBus, tmp_path: Path
) -> None:
    for at in range(1, 11):
        await nats_bus.publish(event(f"run-{at}", at=at))
    found: list[Regression] = []
    never_looking = 3_600.0
    async with running(
        Ingest(nats_bus, log, "here", on_regression=found.append, check_seconds=never_looking)
    ) as ingest:
        await ingest.wait_for(10)
        os.kill(nats_server.pid, signal.SIGKILL)
        await nats_server.wait()
        damage(tmp_path / "nats-server", encode(event("run-8", at=8)))
        # Before ingest is connected again, others publish more than was lost.
        (tmp_path / "elsewhere").mkdir()
        store = (tmp_path / "nats-server" / "nats").rename(tmp_path / "elsewhere" / "nats")
        async with (
            await NatsServer.start(tmp_path / "elsewhere", port=ANY_FREE_PORT) as elsewhere,
            await NatsBus.connect(elsewhere.url) as other,
        ):
            for at in range(11, 16):
                await other.publish(event(f"run-{at}", at=at))
        store.rename(tmp_path / "nats-server" / "nats")
        await nats_server.restart()
        while not found:
            await asyncio.sleep(0.01)
        await ingest.wait_for(12)
    assert [(one.position, one.agreed, one.events) for one in found] == [(10, 7, 3)]
    assert logged(log) == published(1, 15)


async def damaged(server: NatsServer, bus: NatsBus, log: Log, folder: Path) -> None:
    """The log has five events of the bus, which cuts itself off after the second, and withholds what comes up to 11."""
    for at in range(1, 6):
        await bus.publish(event(f"run-{at}", at=at))
    async with running(Ingest(bus, log, "here")) as ingest:
        await ingest.wait_for(5)
    os.kill(server.pid, signal.SIGTERM)
    await server.wait()
    move_sequence(folder / "nats-server", 3, bit=3)
    await server.restart()
    assert (await bus.state()).last_sequence == 2


@pytest.mark.parametrize("last", [8, 16])
async def test_what_a_damaged_server_acknowledges_and_withholds_is_told_and_taken_in_order_when_it_gives_it(
    log: Log, nats_server: NatsServer, nats_bus: NatsBus, tmp_path: Path, last: int
) -> None:
    await damaged(nats_server, nats_bus, log, tmp_path)
    for at in range(6, last + 1):  # the first nine of these are given to nobody, those behind them are
        receipt = await nats_bus.publish(event(f"run-{at}", at=at))
    async with running(Ingest(nats_bus, log, "here", check_seconds=0.05)) as ingest:
        await until(lambda: ingest.status.state == "failing", ingest)
        assert "gives them to nobody" in ingest.status.reason
        assert "3 events lost" in ingest.status.reason
        assert logged(log) == published(1, 5)
        await nats_server.start_again()
        await ingest.wait_for(receipt.sequence)
        assert (ingest.status.state, ingest.status.missing) == ("running", 0)
    assert logged(log) == published(1, last)


async def test_what_comes_on_a_bus_that_counts_its_lost_end_still_is_taken_without_anything_more_being_published(
    log: Log, nats_server: NatsServer, nats_bus: NatsBus, tmp_path: Path
) -> None:
    await damaged(nats_server, nats_bus, log, tmp_path)
    for at in (6, 7):
        await nats_bus.publish(event(f"run-{at}", at=at))
    os.kill(nats_server.pid, signal.SIGKILL)
    await nats_server.wait()
    await nats_server.restart()
    held = await nats_bus.state()
    assert (held.messages, held.last_sequence) == (4, 5)  # at 5 there is nothing, where the log's last line was
    found: list[Regression] = []
    async with running(Ingest(nats_bus, log, "here", on_regression=found.append, check_seconds=0.05)) as ingest:
        await until(lambda: ingest.position == 4, ingest)
    assert "no longer gives the event at 5" in found[0].reason
    assert logged(log) == published(1, 7)
