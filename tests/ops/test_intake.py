"""The intake on a real bus and log: what is published, what is refused, and what becomes of it when the bus goes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rookery.bus import BusUnavailable, MemoryBus, NatsBus
from rookery.eventstore import Log
from rookery.eventstore.vault import Vault, revealed_event
from rookery.handlers.assignments import ASSIGNMENTS
from rookery.handlers.fleet import AGENTS, Register
from rookery.handlers.fleet.fence import Fence
from rookery.handlers.fleet.liveness import Tracker
from rookery.handlers.reactions import Command, Decider
from rookery.ops.api.events import status_of_refusals
from rookery.ops.intake import DeniedRefusal, Intake, Refusal
from rookery.ops.nats_server import NatsServer
from rookery.schemas import (
    AgentRegistered,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentStarted,
    Event,
    RunCompleted,
    RunStarted,
    encode,
)

from ..conftest import MakeEvent


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.open(tmp_path / "log") as log:
        yield log


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.open(tmp_path / "vault")


def fence_on(bus: MemoryBus, agents: Decider) -> Fence:
    return Fence(bus, agents, Decider(bus, ASSIGNMENTS, source="/nodes/local"), Tracker(evict_seconds=60))


NAMES = ["user-17", "user-18", "user-17"]


async def in_stream(bus: NatsBus | MemoryBus, *, count: int) -> list[bytes]:
    """The payloads of the stream's first `count` events."""
    found: list[bytes] = []
    async for batch in bus.read():
        found += [delivery.payload for delivery in batch]
        if len(found) >= count:
            break
    return found


async def test_the_bytes_that_came_are_the_bytes_that_are_published(
    memory_bus: MemoryBus, log: Log, vault: Vault
) -> None:
    payload = encode(Event.of(RunStarted(), subject="r", source="/a")).replace(b'"data":{}', b'"data" : { }')
    taken = await Intake(memory_bus, log, vault).take([payload])
    assert (taken.new, taken.duplicates, taken.sequence) == (1, 0, 1)
    assert await in_stream(memory_bus, count=1) == [payload]


async def test_what_the_log_holds_is_not_published_again(
    memory_bus: MemoryBus, log: Log, vault: Vault, make_event: MakeEvent
) -> None:
    intake, payload = Intake(memory_bus, log, vault), encode(make_event())
    await intake.take([payload])
    async for batch in memory_bus.read():
        log.append("local", batch)
        break
    again = await intake.take([payload])
    assert (again.new, again.duplicates, again.sequence) == (0, 1, 0)
    assert (await memory_bus.state()).messages == 1


async def test_refusals_come_in_the_order_of_the_request(
    nats_bus: NatsBus, log: Log, vault: Vault, make_event: MakeEvent
) -> None:
    large = encode(Event.of(RunStarted(task="x" * 2**20), subject="r", source="/a"))
    long = encode(Event.of(RunStarted(), subject="🦜" * 250, source="/a"))
    taken = await Intake(nats_bus, log, vault).take([long, b"{", encode(make_event()), large])
    assert [(one.index, one.field) for one in taken.refusals] == [(0, "subject"), (1, ""), (3, "")]
    assert (taken.new, taken.duplicates) == (1, 0)


async def test_a_bus_that_hangs_is_an_error_after_its_deadline_and_trying_again_is_safe(
    nats_server: NatsServer, log: Log, vault: Vault, make_event: MakeEvent
) -> None:
    payloads = [encode(make_event(f"as-{number}")) for number in range(50)]
    async with await NatsBus.connect(nats_server.url, publish_deadline_seconds=0.5) as bus:
        os.kill(nats_server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(BusUnavailable, match="publishing the same event again is safe"):
                await Intake(bus, log, vault).take(payloads)
        finally:
            os.kill(nats_server.pid, signal.SIGCONT)
        async with await NatsBus.connect(nats_server.url) as patient:
            taken = await Intake(patient, log, vault).take(payloads)
            assert taken.new + taken.duplicates == len(payloads)
            assert sorted(await in_stream(patient, count=len(payloads))) == sorted(payloads)


async def test_a_publisher_who_is_cancelled_leaves_whole_events_and_can_come_again(
    nats_bus: NatsBus, log: Log, vault: Vault, make_event: MakeEvent
) -> None:
    intake, payloads = Intake(nats_bus, log, vault), [encode(make_event(f"as-{number}")) for number in range(3_000)]
    taking = asyncio.create_task(intake.take(payloads))
    while not nats_bus.pending_events:
        await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    taken = await intake.take(payloads)
    assert (taken.new + taken.duplicates, taken.refusals) == (len(payloads), [])
    assert sorted(await in_stream(nats_bus, count=len(payloads))) == sorted(payloads)


async def test_what_is_personal_is_sealed_before_it_is_published_and_all_else_is_not_touched(
    memory_bus: MemoryBus, log: Log, vault: Vault
) -> None:
    about = [encode(Event.of(RunStarted(task="Call Ada"), subject="r", source="/a", datasubject=who)) for who in NAMES]
    plain = encode(Event.of(RunStarted(task="Sweep"), subject="r", source="/a"))
    taken = await Intake(memory_bus, log, vault).take([*about, plain])
    assert (taken.new, taken.refusals) == (len(NAMES) + 1, [])
    *sealed, untouched = await in_stream(memory_bus, count=len(NAMES) + 1)
    assert untouched == plain
    for payload, came in zip(sealed, about, strict=True):
        assert b"Ada" not in payload
        assert revealed_event(payload, vault) == msgspec.json.decode(came)
    assert sorted(key.subject for key in vault.held) == sorted(set(NAMES))


async def test_what_cannot_be_sealed_is_refused_with_its_field_and_the_others_are_taken(
    memory_bus: MemoryBus, log: Log, vault: Vault
) -> None:
    named = encode(Event.of(RunStarted(), subject="user-17", source="/a", datasubject="user-17"))
    stranger = encode(Event.of(RunStarted(task="x"), subject="r", source="/a", datasubject="ds-" + "a" * 26))
    long = encode(Event.of(AgentRegistered(name="x" * 1_000), subject="a", source="/a", datasubject="user-17"))
    good = encode(Event.of(RunStarted(task="x"), subject="r", source="/a", datasubject="user-17"))
    taken = await Intake(memory_bus, log, vault).take([named, stranger, long, good])
    assert [(one.index, one.field) for one in taken.refusals] == [(0, "subject"), (1, "datasubject"), (2, "data.name")]
    assert taken.new == 1


async def test_what_the_fence_looks_at_first_keeps_its_place_among_the_rest(
    memory_bus: MemoryBus, log: Log, vault: Vault
) -> None:
    fence = fence_on(memory_bus, Decider(memory_bus, AGENTS, source="/nodes/local"))
    facts = [RunStarted(), RunCompleted(), RunStarted(), RunCompleted(), RunStarted()]
    payloads = [encode(Event.of(fact, subject="r", source="/agents/a")) for fact in facts]
    assert (await Intake(memory_bus, log, vault, fence).take(payloads)).new == len(payloads)
    assert await in_stream(memory_bus, count=len(payloads)) == payloads


async def test_a_claim_that_cannot_be_held_against_its_agent_is_refused_and_what_is_stored_is_told_as_stored(
    memory_bus: MemoryBus, log: Log, vault: Vault
) -> None:
    """Its agent changes again and again between the look at it and the append: others change it here."""
    decider = Decider(memory_bus, AGENTS, source="/nodes/local")
    await decider.handle(Command.of(Register(), subject="a", source="/agents/a"))

    class Restless(Decider):
        async def look(self, subject: str) -> tuple[Any, int]:
            found = await super().look(subject)
            await decider.handle(Command.of(Register(again=True), subject=subject, source="/agents/a"))
            return found

    fence = fence_on(memory_bus, Restless(memory_bus, AGENTS, source="/nodes/local"))
    facts = [RunStarted(), RunCompleted(), RunStarted()]
    payloads = [encode(Event.of(fact, subject="r", source="/agents/a")) for fact in facts]
    taken = await Intake(memory_bus, log, vault, fence).take(payloads)
    assert (taken.new, taken.duplicates) == (2, 0)
    [refused] = taken.refusals
    assert isinstance(refused, DeniedRefusal)
    assert (refused.index, refused.error, refused.may_pass) == (1, "Contended", True)
    assert "try again later" in refused.reason


async def test_what_is_claimed_of_work_is_held_against_what_came_before_it_in_the_same_request(
    memory_bus: MemoryBus, log: Log, vault: Vault
) -> None:
    facts = [
        AssignmentCreated(kind="lint"),
        AssignmentStarted(agent_id="a"),
        AssignmentCompleted(agent_id="b"),
        AssignmentCompleted(agent_id="a"),
        AssignmentFailed(agent_id="a", error="too late"),
    ]
    payloads = [encode(Event.of(fact, subject="as-1", source="/agents/a")) for fact in facts]
    intake = Intake(memory_bus, log, vault, fence_on(memory_bus, Decider(memory_bus, AGENTS, source="/nodes/local")))
    taken = await intake.take(payloads)
    assert (taken.new, [(one.index, one.field) for one in taken.refusals]) == (3, [(2, "subject"), (4, "subject")])
    assert "is held by a, and not" in taken.refusals[0].reason
    assert "is over (completed, by a)" in taken.refusals[1].reason
    assert intake.denied == {"NotTheHolder": 1, "AssignmentOver": 1}
    again = await intake.take(payloads)
    assert (again.new, again.duplicates, len(again.refusals)) == (0, 3, 2)


INVALID = Refusal(0, "no JSON")
LATE = DeniedRefusal(1, "it is over", error="AssignmentOver")
RESTLESS = DeniedRefusal(2, "try again later", error="Contended", may_pass=True)


@pytest.mark.parametrize(
    ("refusals", "status"),
    [([INVALID, LATE, RESTLESS], 422), ([RESTLESS, LATE], 409), ([LATE], 409), ([RESTLESS, RESTLESS], 503)],
)
def test_only_where_all_that_is_refused_may_pass_by_itself_is_the_request_to_be_tried_again(
    refusals: list[Refusal], status: int
) -> None:
    assert status_of_refusals(refusals) == status
