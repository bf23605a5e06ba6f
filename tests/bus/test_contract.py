"""What every bus does with events: one suite, run over the bus on NATS and its double in memory."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable

import pytest
from rookery.bus import (
    HISTORY_EVENTS_MAX,
    READ_BATCH_EVENTS_MAX,
    AlreadyPublished,
    AppendTooLarge,
    Bus,
    BusUnavailable,
    ConcurrencyConflict,
    Delivery,
    Entity,
    EventTooLarge,
    StreamRewound,
    UncheckableAppend,
)
from rookery.schemas import AssignmentFailed, Event, InvalidEvent, MalformedEvent, decode, encode

MakeEvent = Callable[..., Event]

ONE = Entity("assignment", "as-1")
TWO = Entity("assignment", "as-2")


async def collect(bus: Bus, count: int, **options: object) -> list[Delivery]:
    found: list[Delivery] = []
    async for batch in bus.read(**options):  # type: ignore[arg-type]
        assert 1 <= len(batch) <= READ_BATCH_EVENTS_MAX
        found += batch
        if len(found) >= count:
            return found
    raise AssertionError("reading never ends by itself")


async def first_batch(batches: AsyncIterator[list[Delivery]]) -> list[Delivery]:
    return await anext(batches)


class TestPublish:
    async def test_what_was_published_is_read_as_the_same_bytes(self, bus: Bus, make_event: MakeEvent) -> None:
        event = make_event("as-1")
        receipt = await bus.publish(event)
        [delivery] = await collect(bus, 1)
        assert receipt == (1, False)
        assert delivery.payload == encode(event)
        assert delivery.subject == "evt.assignment.as-1.started.coder-7"
        assert delivery.sequence == 1
        assert delivery.stored_at.utcoffset() is not None

    async def test_bytes_at_hand_are_published_as_they_are(self, bus: Bus, make_event: MakeEvent) -> None:
        event = make_event()
        payload = encode(event).replace(b'","', b'", "', 1)
        await bus.publish(event, payload)
        [delivery] = await collect(bus, 1)
        assert delivery.payload == payload

    async def test_a_repeated_event_is_stored_once_and_says_so(self, bus: Bus, make_event: MakeEvent) -> None:
        event = make_event()
        first = await bus.publish(event)
        again = await bus.publish(event)
        assert not first.duplicate
        assert again == (first.sequence, True)
        assert (await bus.state()).messages == 1

    @pytest.mark.on_cluster
    async def test_of_concurrent_publishes_of_one_event_one_is_new(self, bus: Bus, make_event: MakeEvent) -> None:
        event, other = make_event(), make_event()
        receipts = await asyncio.gather(*(bus.publish(one) for one in (event, event, other, event)))
        ours = [receipts[0], receipts[1], receipts[3]]
        assert len({receipt.sequence for receipt in ours}) == 1
        assert sorted(receipt.duplicate for receipt in ours) == [False, True, True]
        assert not receipts[2].duplicate
        assert (await bus.state()).messages == 2

    async def test_a_batch_with_a_known_event_stores_the_others(self, bus: Bus, make_event: MakeEvent) -> None:
        known = make_event()
        await bus.publish(known)
        others = [make_event() for _ in range(20)]
        receipts = await asyncio.gather(*(bus.publish(event) for event in [*others[:10], known, *others[10:]]))
        assert [receipt.duplicate for receipt in receipts] == [False] * 10 + [True] + [False] * 10
        assert len({receipt.sequence for receipt in receipts}) == 21

    async def test_each_callers_order_is_kept(self, bus: Bus, make_event: MakeEvent) -> None:
        async def caller(name: str) -> None:
            for number in range(20):
                await bus.publish(make_event(f"{name}-{number}"))

        await asyncio.gather(*(caller(f"caller-{number}") for number in range(10)))
        seen: dict[str, list[int]] = {}
        for delivery in await collect(bus, 200):
            name, _, number = decode(delivery.payload).subject.rpartition("-")
            seen.setdefault(name, []).append(int(number))
        assert all(numbers == list(range(20)) for numbers in seen.values())

    @pytest.mark.on_cluster
    async def test_receipts_are_the_sequences_that_readers_see(self, bus: Bus, make_event: MakeEvent) -> None:
        events = [make_event(f"as-{number}") for number in range(300)]
        receipts = await asyncio.gather(*(bus.publish(event) for event in events))
        by_sequence = {delivery.sequence: decode(delivery.payload).id for delivery in await collect(bus, 300)}
        assert [by_sequence[receipt.sequence] for receipt in receipts] == [event.id for event in events]

    async def test_an_event_that_is_too_large_is_refused_before_it_is_sent(self, bus: Bus) -> None:
        event = Event.of(AssignmentFailed(agent_id="a", error="x" * 2_000_000), subject="as-1", source="/agents/a")
        with pytest.raises(EventTooLarge) as refused:
            await bus.publish(event)
        assert refused.value.size_bytes > 2_000_000
        assert refused.value.limit_bytes == 1024 * 1024
        assert (await bus.state()).messages == 0

    async def test_what_fits_can_be_appended_whatever_it_expects(self, bus: Bus) -> None:
        def event(size: int) -> Event:
            return Event.of(AssignmentFailed(agent_id="a", error="x" * size), subject="as-1", source="/agents/a")

        def is_too_large(size: int) -> bool:
            try:
                bus.ensure_fits(event(size))
            except EventTooLarge:
                return True
            return False

        largest = bisect_left(range(2**21), True, key=is_too_large) - 1
        [receipt] = await bus.append([event(largest)], expected={Entity("agent", "a" * 200): 0})
        assert receipt.sequence == 1

    async def test_an_event_that_breaks_the_envelope_is_refused(self, bus: Bus, make_event: MakeEvent) -> None:
        with pytest.raises(MalformedEvent) as refused:
            await bus.publish(make_event(""))
        assert refused.value.field == "subject"
        assert (await bus.state()).messages == 0

    async def test_a_line_break_in_an_id_is_refused(self, bus: Bus, make_event: MakeEvent) -> None:
        with pytest.raises(MalformedEvent) as refused:
            await bus.publish(make_event("\r\nPUB x 0\r\n"))
        assert refused.value.field == "subject"

    async def test_ids_that_make_too_long_a_subject_are_refused(self, bus: Bus, make_event: MakeEvent) -> None:
        with pytest.raises(InvalidEvent, match="shorter ids") as refused:
            await bus.publish(make_event("\N{SNOWMAN}" * 256))
        assert refused.value.field == "subject"
        await bus.publish(make_event())

    @pytest.mark.parametrize("id", ["a b", "a.b", "*", ">", "ü", "$SYS"])
    async def test_no_id_can_leave_its_place_in_the_subject(self, bus: Bus, make_event: MakeEvent, id: str) -> None:
        await bus.publish(make_event(id))
        await bus.publish(make_event("other"))
        history = await bus.history(Entity("assignment", id))
        assert [decode(delivery.payload).subject for delivery in history.deliveries] == [id]

    async def test_a_cancelled_caller_harms_nobody(self, bus: Bus, make_event: MakeEvent) -> None:
        tasks = [asyncio.create_task(bus.publish(make_event(f"as-{number}"))) for number in range(50)]
        await asyncio.sleep(0)
        for task in tasks[::5]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        stored = {delivery.sequence for delivery in (await collect(bus, 40))}
        for number, outcome in enumerate(outcomes):
            if number % 5:
                assert not isinstance(outcome, BaseException)
                assert outcome.sequence in stored
        assert not (await bus.publish(make_event())).duplicate

    async def test_closing_makes_durable_what_was_published(self, bus: Bus, make_event: MakeEvent) -> None:
        tasks = [asyncio.create_task(bus.publish(make_event())) for _ in range(100)]
        await asyncio.sleep(0)
        await bus.close()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, tuple | BusUnavailable) for outcome in outcomes)
        with pytest.raises(BusUnavailable):
            await bus.publish(make_event())
        assert not bus.connected


class TestHistory:
    async def test_of_a_long_history_the_facts_that_are_named_are_enough(self, bus: Bus, make_event: MakeEvent) -> None:
        told = [make_event("as-1") for _ in range(HISTORY_EVENTS_MAX)]
        failed = Event.of(AssignmentFailed(agent_id="a", error="e"), subject="as-1", source="/agents/a")
        for event in (told[0], failed):
            await bus.publish(event)
        short = await bus.history(ONE, facts=["failed"])
        assert ([one.sequence for one in short.deliveries], short.sequence) == ([1, 2], 2)
        await asyncio.gather(*map(bus.publish, told[1:]))
        long = await bus.history(ONE, facts=["failed", "completed"])
        assert ([one.sequence for one in long.deliveries], long.sequence) == ([2], HISTORY_EVENTS_MAX + 1)
        assert len((await bus.history(ONE)).deliveries) == HISTORY_EVENTS_MAX + 1


class TestAppend:
    async def test_all_is_stored_when_nothing_has_moved(self, bus: Bus, make_event: MakeEvent) -> None:
        await bus.publish(make_event("as-1"))
        await bus.publish(make_event("as-2"))
        events = [make_event("as-1"), make_event("as-1"), make_event("as-2")]
        receipts = await bus.append(events, expected={ONE: 1, TWO: 2})
        assert receipts == [(3, False), (4, False), (5, False)]
        assert (await bus.history(ONE)).sequence == 4
        assert (await bus.history(TWO)).sequence == 5

    @pytest.mark.on_cluster
    async def test_nothing_is_stored_when_one_entity_has_moved(self, bus: Bus, make_event: MakeEvent) -> None:
        await bus.publish(make_event("as-1"))
        await bus.publish(make_event("as-2"))
        with pytest.raises(ConcurrencyConflict) as conflict:
            await bus.append([make_event("as-1"), make_event("as-2")], expected={ONE: 1, TWO: 0})
        assert (conflict.value.entity, conflict.value.expected, conflict.value.actual) == (TWO, 0, 2)
        assert (await bus.state()).messages == 2

    async def test_a_new_entity_is_expected_at_zero(self, bus: Bus, make_event: MakeEvent) -> None:
        await bus.append([make_event("as-1")], expected={ONE: 0})
        with pytest.raises(ConcurrencyConflict) as conflict:
            await bus.append([make_event("as-1")], expected={ONE: 0})
        assert conflict.value.actual == 1

    async def test_an_expected_sequence_beyond_the_last_conflicts(self, bus: Bus, make_event: MakeEvent) -> None:
        with pytest.raises(ConcurrencyConflict) as conflict:
            await bus.append([make_event("as-1")], expected={ONE: 7})
        assert (conflict.value.expected, conflict.value.actual) == (7, 0)

    async def test_an_entity_without_an_event_is_checked_too(self, bus: Bus, make_event: MakeEvent) -> None:
        await bus.publish(make_event("as-2"))
        events = [make_event("as-1"), make_event("as-1")]
        with pytest.raises(ConcurrencyConflict) as conflict:
            await bus.append(events, expected={ONE: 0, TWO: 0})
        assert conflict.value.entity == TWO
        assert [receipt.sequence for receipt in await bus.append(events, expected={ONE: 0, TWO: 1})] == [2, 3]

    async def test_more_entities_than_events_are_refused(self, bus: Bus, make_event: MakeEvent) -> None:
        with pytest.raises(UncheckableAppend):
            await bus.append([make_event("as-1")], expected={ONE: 0, TWO: 0})
        assert (await bus.state()).messages == 0

    async def test_expecting_nothing_is_still_all_or_nothing(self, bus: Bus, make_event: MakeEvent) -> None:
        receipts = await bus.append([make_event(f"as-{number}") for number in range(200)], expected={})
        assert [receipt.sequence for receipt in receipts] == list(range(1, 201))

    @pytest.mark.parametrize("count", [1, 3])
    async def test_appending_the_same_again_acknowledges_it(self, bus: Bus, make_event: MakeEvent, count: int) -> None:
        events = [make_event("as-1") for _ in range(count)]
        first = await bus.append(events, expected={ONE: 0})
        assert await bus.append(events, expected={ONE: 0}) == [(receipt.sequence, True) for receipt in first]
        assert await bus.append(events, expected={ONE: count}) == [(receipt.sequence, True) for receipt in first]
        assert (await bus.state()).messages == count

    async def test_bytes_at_hand_are_appended_as_they_are(self, bus: Bus, make_event: MakeEvent) -> None:
        event = make_event("as-1")
        payload = encode(event).replace(b'","', b'", "', 1)
        await bus.append([event], expected={ONE: 0}, payloads=[payload])
        assert [one.payload for one in (await bus.history(ONE)).deliveries] == [payload]

    async def test_an_append_may_not_mix_known_events_with_new_ones(self, bus: Bus, make_event: MakeEvent) -> None:
        known = make_event("as-1")
        await bus.publish(known)
        with pytest.raises(AlreadyPublished) as refused:
            await bus.append([make_event("as-1"), known], expected={ONE: 1})
        assert refused.value.ids == [known.id]
        assert (await bus.state()).messages == 1

    async def test_too_many_events_are_refused(self, bus: Bus, make_event: MakeEvent) -> None:
        with pytest.raises(AppendTooLarge):
            await bus.append([make_event() for _ in range(1_001)], expected={})
        assert (await bus.state()).messages == 0

    async def test_nothing_and_twins_are_the_callers_mistake(self, bus: Bus, make_event: MakeEvent) -> None:
        event = make_event()
        with pytest.raises(ValueError, match="at least one"):
            await bus.append([], expected={})
        with pytest.raises(ValueError, match="same id"):
            await bus.append([event, event], expected={})

    @pytest.mark.on_cluster
    async def test_of_appends_that_come_together_only_the_one_that_is_late_is_refused(
        self, bus: Bus, make_event: MakeEvent
    ) -> None:
        watched = Entity("assignment", "watched")
        await bus.publish(make_event("watched"))
        expected = [{Entity("assignment", f"as-{number}"): 0, watched: 1} for number in range(40)]
        expected[17] = {Entity("assignment", "as-17"): 5, watched: 1}
        expected[23] = {Entity("assignment", "as-23"): 0, watched: 0}
        outcomes = await asyncio.gather(
            *(
                bus.append([make_event(f"as-{number}"), make_event(f"run-{number}")], expected=expects)
                for number, expects in enumerate(expected)
            ),
            return_exceptions=True,
        )
        refused = {number: one for number, one in enumerate(outcomes) if isinstance(one, ConcurrencyConflict)}
        assert {number: one.entity.id for number, one in refused.items()} == {17: "as-17", 23: "watched"}
        stored = [receipt for one in outcomes if not isinstance(one, BaseException) for receipt in one]
        assert sorted(receipt.sequence for receipt in stored) == list(range(2, 78))
        assert (await bus.state()).messages == 77

    async def test_of_two_that_come_together_and_expect_the_same_one_is_stored(
        self, bus: Bus, make_event: MakeEvent
    ) -> None:
        rivals = [
            [make_event("as-1"), make_event("as-2")],  # changes what the next two look at
            [make_event("as-1")],
            [make_event("as-3"), make_event("as-4")],
        ]
        outcomes = await asyncio.gather(
            *(bus.append(events, expected={ONE: 0}) for events in rivals), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [list, ConcurrencyConflict, ConcurrencyConflict]
        assert (await bus.state()).messages == 2

    async def test_the_same_that_comes_twice_at_once_is_stored_once(self, bus: Bus, make_event: MakeEvent) -> None:
        events = [make_event("as-1"), make_event("as-2")]
        outcomes = await asyncio.gather(*(bus.append(events, expected={ONE: 0}) for _ in range(3)))
        assert sorted(outcomes) == [[(1, False), (2, False)], [(1, True), (2, True)], [(1, True), (2, True)]]
        assert (await bus.state()).messages == 2

    @pytest.mark.on_cluster
    async def test_of_rivals_exactly_one_wins_each_round(self, bus: Bus, make_event: MakeEvent) -> None:
        async def rival() -> int:
            for attempt in range(200):
                last = (await bus.history(ONE)).sequence
                try:
                    await bus.append([make_event("as-1")], expected={ONE: last})
                except ConcurrencyConflict:
                    continue
                return attempt
            raise AssertionError("never won")

        await asyncio.gather(*(rival() for _ in range(8)))
        assert (await bus.history(ONE)).sequence == 8


class TestRead:
    async def test_reading_goes_on_after_a_sequence(self, bus: Bus, make_event: MakeEvent) -> None:
        for number in range(10):
            await bus.publish(make_event(f"as-{number}"))
        assert [delivery.sequence for delivery in await collect(bus, 6, after=4)] == [5, 6, 7, 8, 9, 10]

    async def test_a_reader_waits_for_what_comes(self, bus: Bus, make_event: MakeEvent) -> None:
        await bus.publish(make_event("as-1"))
        reader = asyncio.create_task(collect(bus, 3, after=1))
        for number in (2, 3, 4):
            await asyncio.sleep(0.01)
            await bus.publish(make_event(f"as-{number}"))
        assert [delivery.sequence for delivery in await reader] == [2, 3, 4]

    async def test_a_backlog_arrives_whole_and_in_order(self, bus: Bus, make_event: MakeEvent) -> None:
        events = [make_event(f"as-{number}") for number in range(5_000)]
        await asyncio.gather(*(bus.publish(event) for event in events))
        deliveries = await collect(bus, 5_000)
        assert [delivery.sequence for delivery in deliveries] == list(range(1, 5_001))
        assert [decode(delivery.payload).id for delivery in deliveries] == [event.id for event in events]

    async def test_a_subject_narrows_what_is_read(self, bus: Bus, make_event: MakeEvent) -> None:
        for agent in ("coder-7", "judge-1", "coder-7", "judge-1"):
            await bus.publish(make_event("as-1", agent_id=agent))
        deliveries = await collect(bus, 2, subject="evt.*.*.*.judge-1")
        assert [delivery.sequence for delivery in deliveries] == [2, 4]

    async def test_readers_do_not_disturb_each_other(self, bus: Bus, make_event: MakeEvent) -> None:
        readers = [asyncio.create_task(collect(bus, 50)) for _ in range(3)]
        for number in range(50):
            await bus.publish(make_event(f"as-{number}"))
        found = await asyncio.gather(*readers)
        assert found[0] == found[1] == found[2]

    async def test_a_stream_that_ends_before_the_point_is_refused(self, bus: Bus, make_event: MakeEvent) -> None:
        await bus.publish(make_event())
        with pytest.raises(StreamRewound) as refused:
            await anext(aiter(bus.read(after=5)))
        assert (refused.value.after, refused.value.last_sequence) == (5, 1)

    async def test_a_reader_may_leave_at_any_time(self, bus: Bus, make_event: MakeEvent) -> None:
        waiting = asyncio.create_task(collect(bus, 1))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await bus.publish(make_event())
        assert len(await collect(bus, 1)) == 1

    @pytest.mark.on_cluster
    async def test_history_is_one_entitys_events(self, bus: Bus, make_event: MakeEvent) -> None:
        for subject in ("as-1", "as-11", "as-1", "as", "as-1"):
            await bus.publish(make_event(subject))
        await asyncio.gather(*(bus.publish(make_event("as-1")) for _ in range(1_500)))
        history = await bus.history(ONE)
        assert len(history.deliveries) == 1_503
        assert {decode(delivery.payload).subject for delivery in history.deliveries} == {"as-1"}
        sequences = [delivery.sequence for delivery in history.deliveries]
        assert sequences == sorted(set(sequences))
        assert history.sequence == sequences[-1]

    async def test_whether_a_fact_was_told_of_an_entity_is_known_by_its_name(
        self, bus: Bus, make_event: MakeEvent
    ) -> None:
        await bus.publish(make_event("as.1"))
        entity = Entity("assignment", "as.1")
        assert await bus.has_happened(entity, "started")
        assert not await bus.has_happened(entity, "cancelled")
        assert not await bus.has_happened(Entity("assignment", "as"), "started")

    async def test_an_entity_without_events_has_an_empty_history(self, bus: Bus) -> None:
        assert await bus.history(ONE) == ([], 0, 0)

    async def test_history_and_reading_deliver_the_same(self, bus: Bus, make_event: MakeEvent) -> None:
        for _ in range(3):
            await bus.publish(make_event("as-1"))
        assert (await bus.history(ONE)).deliveries == await collect(bus, 3)

    async def test_the_first_event_after_a_sequence_is_the_one_that_readers_get(
        self, bus: Bus, make_event: MakeEvent
    ) -> None:
        for _ in range(3):
            await bus.publish(make_event())
        read = await collect(bus, 3)
        assert [await bus.first_after(sequence) for sequence in range(4)] == [*read, None]
        assert await bus.lost_events() == 0

    async def test_state_says_what_the_stream_holds(self, bus: Bus, make_event: MakeEvent) -> None:
        empty = await bus.state()
        assert (empty.last_sequence, empty.messages) == (0, 0)
        for _ in range(3):
            await bus.publish(make_event())
        state = await bus.state()
        assert (state.first_sequence, state.last_sequence, state.messages) == (1, 3, 3)
        assert state.bytes > 0
        assert state.created == empty.created
