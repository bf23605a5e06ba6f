"""Whatever is done to a bus, and in whatever order: it holds what a plain list would hold."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rookery.bus import (
    AlreadyPublished,
    Bus,
    ConcurrencyConflict,
    Entity,
    MemoryBus,
    NatsBus,
    Receipt,
    UncheckableAppend,
)
from rookery.ops.nats_server import ANY_FREE_PORT, NatsServer
from rookery.schemas import AssignmentStarted, Event, decode

ENTITIES = 3
IDS = 12


class Publish(NamedTuple):
    id: int
    entity: int


class Append(NamedTuple):
    ids: list[tuple[int, int]]  # event id and entity
    expected: dict[int, int]  # entity and how far off its sequence is expected


Step = Publish | Append
entities = st.integers(0, ENTITIES - 1)
ids = st.integers(0, IDS - 1)
publishes = st.builds(Publish, ids, entities)
appends = st.builds(
    Append,
    st.lists(st.tuples(ids, entities), min_size=1, max_size=4, unique_by=lambda pair: pair[0]),
    st.dictionaries(entities, st.sampled_from([0, 0, 0, 1, -1]), max_size=ENTITIES),
)
histories = st.lists(publishes | appends, max_size=25)


def entity(number: int) -> Entity:
    return Entity("assignment", f"as-{number}")


def numbers_in(event: Event) -> tuple[int, int]:
    return int(event.id.removeprefix("event-")), int(event.subject.removeprefix("as-"))


class Model:
    """A list, and the rules in their plainest form. An id belongs to the first entity that it is used with."""

    def __init__(self) -> None:
        self.stored: list[tuple[int, int]] = []
        self.home: dict[int, int] = {}

    def event(self, id: int, number: int) -> Event:
        number = self.home.setdefault(id, number)
        return Event.of(AssignmentStarted(agent_id="a"), subject=f"as-{number}", source="/agents/a", id=f"event-{id}")

    def sequence_of(self, id: int) -> int:
        return next((n for n, (known, _) in enumerate(self.stored, 1) if known == id), 0)

    def last(self, number: int) -> int:
        return max((n for n, (_, home) in enumerate(self.stored, 1) if home == number), default=0)

    def store(self, id: int) -> Receipt:
        if known := self.sequence_of(id):
            return Receipt(known, duplicate=True)
        self.stored.append((id, self.home[id]))
        return Receipt(len(self.stored), duplicate=False)

    def append(self, numbers: list[int], expected: dict[int, int]) -> list[Receipt] | type[Exception]:
        homes = {self.home[number] for number in numbers}
        if len(expected.keys() - homes) > len(numbers) - len(homes & expected.keys()):
            return UncheckableAppend
        known = [sequence for number in numbers if (sequence := self.sequence_of(number))]
        if any(self.last(home) != sequence for home, sequence in expected.items()):
            if len(known) < len(numbers) or min(known) <= min(expected.values()):
                return ConcurrencyConflict
        elif known and len(known) < len(numbers):
            return AlreadyPublished
        return [self.store(number) for number in numbers]


async def outcome(attempt: Awaitable[object]) -> object:
    try:
        return await attempt
    except (ConcurrencyConflict, AlreadyPublished, UncheckableAppend) as error:
        return type(error)


async def holds_what_the_model_holds(bus: Bus, steps: list[Step]) -> None:
    model = Model()
    for step in steps:
        if isinstance(step, Publish):
            event = model.event(*step)
            assert await bus.publish(event) == model.store(step.id)
        else:
            events = [model.event(*pair) for pair in step.ids]
            expected = {number: max(model.last(number) + off, 0) for number, off in step.expected.items()}
            appending = bus.append(events, expected={entity(number): n for number, n in expected.items()})
            assert await outcome(appending) == model.append([number for number, _ in step.ids], expected)
    await check_contents(bus, model)


async def check_contents(bus: Bus, model: Model) -> None:
    found: list[tuple[int, int]] = []
    while len(found) < len(model.stored):
        async for batch in bus.read(after=len(found)):
            events = [decode(delivery.payload) for delivery in batch]
            found += [
                (int(event.id.removeprefix("event-")), int(event.subject.removeprefix("as-"))) for event in events
            ]
            break
    assert found == model.stored
    for number in range(ENTITIES):
        history = await bus.history(entity(number))
        assert history.sequence == model.last(number)
        assert len(history.deliveries) == sum(home == number for _, home in model.stored)


async def keeps_its_word_under_concurrency(bus: Bus, callers: list[list[int]]) -> None:
    """Each caller publishes ids in its order; ids recur among callers and within one."""
    receipts: list[dict[int, Receipt]] = [{} for _ in callers]
    new: list[int] = []
    model = Model()

    async def caller(own: list[int], received: dict[int, Receipt]) -> None:
        for number in own:
            receipt = await bus.publish(model.event(number, 0))
            new.extend([number] * (not receipt.duplicate))
            received[number] = receipt

    await asyncio.gather(*(caller(own, received) for own, received in zip(callers, receipts, strict=True)))
    published = set().union(*callers)
    assert sorted(new) == sorted(published), "each event is new to exactly one caller"
    stored = {decode(one.payload).id: one.sequence for one in (await bus.history(entity(0))).deliveries}
    assert set(stored) == {f"event-{number}" for number in published}
    assert all(stored[f"event-{number}"] == got.sequence for each in receipts for number, got in each.items())
    assert (await bus.state()).messages == len(published)


async def on_memory(check: Callable[[Bus], Awaitable[None]]) -> None:
    async with MemoryBus() as bus:
        await check(bus)


async def on_nats(check: Callable[[Bus], Awaitable[None]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = await NatsServer.start(Path(folder), port=ANY_FREE_PORT)
        async with server, await NatsBus.connect(server.url) as bus:
            await check(bus)


concurrent_callers = st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=12)
on_real_server = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(max_examples=150, deadline=None)
@given(histories)
def test_the_double_holds_what_the_model_holds(steps: list[Step]) -> None:
    asyncio.run(on_memory(lambda bus: holds_what_the_model_holds(bus, steps)))


@on_real_server
@given(histories)
def test_the_stream_holds_what_the_model_holds(steps: list[Step]) -> None:
    asyncio.run(on_nats(lambda bus: holds_what_the_model_holds(bus, steps)))


@settings(max_examples=100, deadline=None)
@given(concurrent_callers)
def test_each_event_is_stored_once_in_the_double(callers: list[list[int]]) -> None:
    asyncio.run(on_memory(lambda bus: keeps_its_word_under_concurrency(bus, callers)))


@on_real_server
@given(concurrent_callers)
def test_each_event_is_stored_once_in_the_stream(callers: list[list[int]]) -> None:
    asyncio.run(on_nats(lambda bus: keeps_its_word_under_concurrency(bus, callers)))
