"""Agents join, change, fall silent and leave; who was declared dead, or lives anew elsewhere, is fenced."""

from __future__ import annotations

import pytest
from hypothesis import given as example
from hypothesis import strategies as st
from rookery.bus import CommandRefused, MemoryBus
from rookery.handlers.fleet import (
    AGENTS,
    AgentGone,
    AgentRecord,
    DuplicateName,
    Evict,
    Expire,
    Fenced,
    Register,
    Revive,
    Suspect,
    UnknownAgent,
    Unregister,
    Update,
    refuse_fenced,
)
from rookery.handlers.reactions import Command, CommandData, Decider, Happened, InvalidCommand, given
from rookery.handlers.reactions.scenario import NOON
from rookery.schemas import (
    AgentHeartbeatSent,
    AgentRegistered,
    AgentStateChanged,
    AgentUnregistered,
    AgentUpdated,
    Event,
    EventData,
    all_types,
)

FIRST = AgentRegistered(name="a", incarnation=1)
SUSPECT = AgentStateChanged(state="suspect", incarnation=1)
EXPIRED = AgentStateChanged(state="expired", incarnation=1)
EVICTED = AgentStateChanged(state="evicted", incarnation=1)
LEFT = AgentUnregistered(incarnation=1)


def test_every_registration_begins_a_new_incarnation() -> None:
    given(AGENTS).when(Register(role="r")).then(AgentRegistered(name="x", role="r", incarnation=1))
    for gone in (EXPIRED, LEFT):
        given(AGENTS, FIRST, gone).when(Register()).then(AgentRegistered(name="x", incarnation=2))
    given(AGENTS, FIRST, EXPIRED, EVICTED).when(Register()).then(AgentRegistered(name="x", incarnation=2))
    plain = AgentRegistered(name="a")
    given(AGENTS, plain, plain, AgentUnregistered()).when(Register()).then(AgentRegistered(name="x", incarnation=3))


def test_a_name_that_is_taken_is_refused_unless_the_new_one_takes_the_others_place() -> None:
    given(AGENTS, FIRST).when(Register()).then_refused(DuplicateName)
    given(AGENTS, FIRST, SUSPECT).when(Register()).then_refused(DuplicateName)
    given(AGENTS, FIRST).when(Register(name="b", again=True)).then(AgentRegistered(name="b", incarnation=2))


def test_an_update_changes_what_it_names_and_tells_all_of_it() -> None:
    known = AgentRegistered(name="a", role="r", tier="system", capabilities=["x"], incarnation=1)
    given(AGENTS, known).when(Update(role=None, capabilities=["y"])).then(
        AgentUpdated(name="a", tier="system", capabilities=["y"], incarnation=1)
    )
    given(AGENTS, known).when(Update(role="r")).then()
    given(AGENTS, known, AgentUpdated(name="b", incarnation=1)).when(Update(role="r")).then(
        AgentUpdated(name="b", role="r", incarnation=1)
    )
    given(AGENTS, known, EXPIRED).when(Update(role="s")).then(
        AgentUpdated(name="a", role="s", tier="system", capabilities=["x"], incarnation=1)
    )


def test_an_update_of_who_is_gone_or_was_never_there_is_refused() -> None:
    given(AGENTS).when(Update(role="r")).then_refused(UnknownAgent)
    given(AGENTS, FIRST, LEFT).when(Update(role="r")).then_refused(AgentGone)
    given(AGENTS, FIRST, EXPIRED, EVICTED).when(Update(role="r")).then_refused(AgentGone)


@pytest.mark.parametrize("interval_seconds", [0.0, 0.001, 86_401.0, float("nan")])
def test_an_absurd_interval_is_refused(interval_seconds: float) -> None:
    given(AGENTS).when(Register(heartbeat_interval_seconds=interval_seconds)).then_refused(InvalidCommand)
    given(AGENTS, FIRST).when(Update(heartbeat_interval_seconds=interval_seconds)).then_refused(InvalidCommand)


def test_nobody_answers_to_itself() -> None:
    given(AGENTS).when(Register(parent_agent_id="x")).then_refused(InvalidCommand)
    given(AGENTS, FIRST).when(Update(parent_agent_id="x")).then_refused(InvalidCommand)


def test_leaving_is_told_once_and_an_old_process_does_not_say_it_for_the_new_one() -> None:
    given(AGENTS).when(Unregister()).then_refused(UnknownAgent)
    given(AGENTS, FIRST).when(Unregister(reason="tired")).then(AgentUnregistered(reason="tired", incarnation=1))
    given(AGENTS, FIRST, LEFT).when(Unregister()).then()
    given(AGENTS, FIRST, EXPIRED).when(Unregister()).then(AgentUnregistered(incarnation=1))
    given(AGENTS, FIRST, AgentRegistered(name="a")).when(Unregister(incarnation=1)).then_refused(Fenced)


def test_the_silent_are_suspected_then_expire_then_are_evicted() -> None:
    given(AGENTS, FIRST).when(Suspect(incarnation=1)).then(SUSPECT)
    given(AGENTS, FIRST, SUSPECT).when(Suspect(incarnation=1)).then()
    given(AGENTS, FIRST, SUSPECT).when(Revive(incarnation=1)).then(AgentStateChanged(state="alive", incarnation=1))
    given(AGENTS, FIRST).when(Revive(incarnation=1)).then()
    given(AGENTS, FIRST, SUSPECT).when(Expire(incarnation=1)).then(EXPIRED)
    given(AGENTS, FIRST).when(Expire(incarnation=1)).then(EXPIRED)
    given(AGENTS, FIRST, EXPIRED).when(Expire(incarnation=1)).then()
    given(AGENTS, FIRST, EXPIRED).when(Suspect(incarnation=1)).then()
    given(AGENTS, FIRST, EXPIRED).when(Evict(incarnation=1)).then(EVICTED)
    given(AGENTS, FIRST).when(Evict(incarnation=1)).then()
    given(AGENTS, FIRST, LEFT).when(Expire(incarnation=1)).then()


def test_the_dead_do_not_come_back_by_a_sign_of_life() -> None:
    for gone in (EXPIRED, LEFT):
        given(AGENTS, FIRST, gone).when(Revive(incarnation=1)).then_refused(Fenced)
    again = AgentRegistered(name="a", incarnation=2)
    given(AGENTS, FIRST, EXPIRED, again).when(Revive(incarnation=1)).then_refused(Fenced)


def test_what_is_decided_of_an_earlier_life_does_not_touch_the_present_one() -> None:
    again = AgentRegistered(name="a", incarnation=2)
    for late in (Suspect(incarnation=1), Expire(incarnation=1), Evict(incarnation=1)):
        given(AGENTS, FIRST, EXPIRED, again).when(late).then()
    given(AGENTS, FIRST, again, EXPIRED).when(Suspect(incarnation=2)).then(
        AgentStateChanged(state="suspect", incarnation=2)
    )


def test_only_the_newest_life_that_is_not_declared_dead_may_commit() -> None:
    alive = _after(FIRST, AgentRegistered(name="a"))
    for incarnation in (2, None):
        refuse_fenced("x", alive, incarnation)
        refuse_fenced("x", alive._replace(state="suspect"), incarnation)
        for state in ("expired", "evicted", "unregistered"):
            with pytest.raises(Fenced):
                refuse_fenced("x", alive._replace(state=state), incarnation)
    with pytest.raises(Fenced) as fenced:
        refuse_fenced("x", alive, 1)
    assert (fenced.value.agent_id, fenced.value.incarnation) == ("x", 1)


commands = st.sampled_from(
    [
        Register(),
        Register(again=True),
        Update(role="r"),
        Unregister(),
        *(kind(incarnation=n) for n in (1, 2, 3) for kind in (Suspect, Revive, Expire, Evict)),
    ]
)


@example(st.lists(commands, max_size=12))
def test_whatever_is_asked_the_incarnation_grows_with_registrations_alone_and_the_dead_need_one(
    asked: list[CommandData],
) -> None:
    agent = AgentRecord()
    for number, data in enumerate(asked):
        command = Command(subject="x", data=data, source="/t", id=str(number), time=NOON)
        try:
            told = AGENTS.decide(command, agent)
        except (DuplicateName, UnknownAgent, AgentGone, Fenced):
            continue
        after = agent
        for fact in told:
            after = AGENTS.evolve(after, Happened(fact, NOON))
        is_new = any(isinstance(fact, AgentRegistered) for fact in told)
        assert after.incarnation == agent.incarnation + is_new
        if after.state == "alive" and agent.state not in ("alive", "suspect"):
            assert is_new
        agent = after


def test_facts_that_anybody_tells_do_not_wake_the_dead_nor_touch_another_life() -> None:
    alive, again = AgentStateChanged(state="alive"), AgentRegistered(name="a", incarnation=2)
    for gone in (EXPIRED, LEFT, EVICTED):
        assert _after(FIRST, gone, alive) == _after(FIRST, gone)
    assert _after(FIRST, EXPIRED, EVICTED).state == "evicted"
    assert _after(FIRST, again, LEFT, EXPIRED) == _after(FIRST, again)


def test_heartbeats_that_came_as_events_change_nothing() -> None:
    assert _after(FIRST, SUSPECT, AgentHeartbeatSent()) == _after(FIRST, SUSPECT)


async def test_an_agent_that_beats_by_events_is_known_by_the_others_as_if_it_did_not(memory_bus: MemoryBus) -> None:
    decider = Decider(memory_bus, AGENTS, source="/nodes/n")
    await decider.handle(Command.of(Register(role="r"), subject="x", source="/agents/x"))
    for _ in range(150):
        await memory_bus.publish(Event.of(AgentHeartbeatSent(), subject="x", source="/agents/x"))
    for data in (Suspect(incarnation=1), Expire(incarnation=1), Register()):
        await decider.handle(Command.of(data, subject="x", source="/nodes/n"))
    record, sequence = await decider.look("x")
    assert (record.state, record.incarnation, sequence) == ("alive", 2, 154)


def test_the_registry_names_every_fact_that_it_knows() -> None:
    known = {name.partition(".")[2] for name in (kind.name for kind in all_types()) if name.startswith("agent.")}
    assert set(AGENTS.facts) == known - {"heartbeat_sent"}


async def test_commands_travel_with_typed_fields_and_bad_ones_leave_no_trace() -> None:
    async with MemoryBus() as bus, Decider(bus, AGENTS, source="/nodes/n").serving():
        await bus.request("cmd.agent.register", b'{"subject":"x","data":{"role":"r","metadata":{"a":1}}}')
        await bus.request("cmd.agent.update", b'{"subject":"x","data":{"role":null}}')
        for verb, bad in (
            ("register", b'{"subject":"y","data":{"tier":"king"}}'),
            ("register", b'{"subject":"y","data":{"heartbeat_interval_seconds":-1}}'),
            ("update", b'{"subject":"x","data":{"name":null}}'),
            ("suspect", b'{"subject":"x","data":{"incarnation":0}}'),
        ):
            with pytest.raises(CommandRefused):
                await bus.request(f"cmd.agent.{verb}", bad)
        assert (await bus.state()).messages == 2


def _after(*facts: EventData) -> AgentRecord:
    return AGENTS.fold(Happened(fact, NOON) for fact in facts)
