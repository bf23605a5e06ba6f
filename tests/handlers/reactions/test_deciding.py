"""Commands are decided on the entity as it is: once however often they come, and by one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from rookery.bus import Bus, CommandRefused, Entity
from rookery.handlers.alerts import ALERTS, Raise
from rookery.handlers.reactions import Command, CommandData, Context, Decider, Happened, InvalidCommand, given
from rookery.handlers.reactions.deciding import events_in
from rookery.schemas import AlertRaised, Event, EventData, InsightRecorded, InvalidData, decode

A_MINUTE, AN_HOUR = 60.0, 3600.0


class Count(CommandData, frozen=True):
    """Say how many there were before."""


COUNTS = Context[int](
    "counts",
    "insight",
    {"count": Count},
    lambda: 0,
    lambda command, count: [InsightRecorded(kind="count", text=str(count))],
    lambda count, fact: count + isinstance(fact.data, InsightRecorded),
)


@pytest.fixture(params=["memory_bus", "nats_bus"])
def bus(request: pytest.FixtureRequest) -> Bus:
    found: Bus = request.getfixturevalue(request.param)
    return found


async def counts(bus: Bus) -> list[str]:
    history = await bus.history(Entity("insight", "x"))
    payloads = [event.payload() for event in events_in(history)]
    return [payload.text for payload in payloads if isinstance(payload, InsightRecorded)]


def count(id: str | None = None) -> Command:
    return Command.of(Count(), subject="x", source="/people/ann", id=id)


async def test_those_who_decide_at_once_decide_one_after_the_other(bus: Bus) -> None:
    deciders = [Decider(bus, COUNTS, source="/nodes/local") for _ in range(3)]
    await asyncio.gather(*(decider.handle(count()) for decider in deciders))
    assert await counts(bus) == ["0", "1", "2"]


async def test_a_command_that_comes_twice_is_carried_out_once(bus: Bus) -> None:
    decider = Decider(bus, COUNTS, source="/nodes/local")
    first, again = await decider.handle(count("c-1")), await decider.handle(count("c-1"))
    assert (again.repeated, again.events) == (True, first.events)
    assert await counts(bus) == ["0"]


async def test_what_only_the_log_has_counts_before_what_the_bus_has(bus: Bus) -> None:
    older = [Event.of(InsightRecorded(kind="count", text="old"), subject="x", source="/nodes/local")]

    async def earlier(entity: Entity, _: int) -> Sequence[Event]:
        return older if entity == Entity("insight", "x") else []

    decider = Decider(bus, COUNTS, source="/nodes/local", earlier=earlier)
    await decider.handle(count())
    older.append(decode((await bus.history(Entity("insight", "x"))).deliveries[0].payload))  # the log has that by now
    await decider.handle(count())
    assert await counts(bus) == ["1", "2"]


async def test_dead_letters_on_an_entity_s_subject_are_no_part_of_its_past(bus: Bus) -> None:
    unknown = msgspec.structs.replace(
        Event.of(InsightRecorded(kind="count", text="?"), subject="x", source="/a"), type="insight.unheard_of"
    )
    await bus.publish(unknown)
    await Decider(bus, COUNTS, source="/nodes/local").handle(count())
    assert await counts(bus) == ["0"]


async def test_commands_come_over_the_bus_and_refusals_go_back(bus: Bus) -> None:
    async with Decider(bus, ALERTS, source="/nodes/local").serving():
        asked = {"subject": "disk", "data": {"kind": "disk", "text": "it is full"}}
        answer = msgspec.json.decode(await bus.request("cmd.alerts.raise", msgspec.json.encode(asked)))
        assert [event["type"] for event in answer["events"]] == ["alert.raised"]
        with pytest.raises(CommandRefused, match="txet") as refused:
            await bus.request("cmd.alerts.raise", b'{"subject":"disk","data":{"kind":"disk","txet":"?"}}')
        assert refused.value.type == "InvalidCommand"


async def test_what_is_decided_must_fit_its_schema(memory_bus: Bus) -> None:
    def decide(command: Command, count: int) -> Sequence[EventData]:
        return [InsightRecorded(kind="", text="x")]

    decider = Decider(memory_bus, COUNTS._replace(decide=decide), source="/nodes/local")
    with pytest.raises(InvalidData):
        await decider.handle(count())
    assert await counts(memory_bus) == []


def test_an_alert_is_raised_once_an_hour() -> None:
    raised = AlertRaised(kind="disk", severity="warning", text="it is full")
    asked = Raise(kind="disk", text="it is full")
    given(ALERTS).when(asked).then(raised)
    given(ALERTS, raised).when(asked, after_seconds=AN_HOUR - A_MINUTE).then()
    given(ALERTS, raised).when(asked, after_seconds=AN_HOUR).then(raised)
    given(ALERTS, raised).when(asked, after_seconds=-A_MINUTE).then()


def test_an_alert_tells_nothing_that_is_sealed() -> None:
    sealed = f"sealed:1:ds-{'a' * 26}:{'b' * 22}:{'c' * 40}"
    told = AlertRaised(kind="run_failed", severity="warning", text="it failed: (personal, and sealed)")
    given(ALERTS).when(Raise(kind="run_failed", text=f"it failed: {sealed}")).then(told)


def test_a_scenario_says_what_was_decided_instead() -> None:
    raised = AlertRaised(kind="disk", severity="warning", text="it is full")
    with pytest.raises(AssertionError, match="decided"):
        given(ALERTS).when(Raise(kind="disk", text="it is full")).then()
    with pytest.raises(AssertionError, match="expected InvalidCommand"):
        given(ALERTS, raised).when(Raise(kind="disk", text="it is full")).then_refused(InvalidCommand)
    assert ALERTS.evolve(ALERTS.initial(), Happened(InsightRecorded(kind="a", text="b"), None)).raised_at is None  # type: ignore[arg-type]
