"""An agent that is meant to be there is known before it comes, and says what it is only where it differs."""

from __future__ import annotations

import pytest
from rookery.handlers.fleet import (
    AGENTS,
    AgentRecord,
    Declare,
    Expire,
    Fenced,
    Register,
    Suspect,
    Unregister,
    Update,
    refuse_fenced,
)
from rookery.handlers.reactions import InvalidCommand, given
from rookery.schemas import AgentDeclared, AgentRegistered, AgentStateChanged, AgentUnregistered, AgentUpdated

TIER = {"tier": "execution", "parent_agent_id": "boss"}
DECLARED = AgentDeclared(name="Coder", role="coder", capabilities=["code.fix"], catalogue="swarm", **TIER)
DECLARE = Declare(name="Coder", role="coder", capabilities=["code.fix"], catalogue="swarm", **TIER)
ALIVE = AgentRegistered(name="Coder", role="coder", capabilities=["code.fix"], incarnation=1, **TIER)


def test_declaring_the_same_again_changes_nothing() -> None:
    given(AGENTS).when(DECLARE).then(DECLARED)
    given(AGENTS, DECLARED).when(DECLARE).then()
    given(AGENTS, DECLARED, ALIVE).when(DECLARE).then()


def test_what_a_registration_leaves_unsaid_is_taken_from_the_declaration() -> None:
    given(AGENTS, DECLARED).when(Register()).then(ALIVE)
    given(AGENTS, DECLARED).when(Register(name="x")).then(ALIVE)
    own = Register(name="Own", role="tester", capabilities=["test.run"])
    given(AGENTS, DECLARED).when(own).then(
        AgentRegistered(name="Own", role="tester", capabilities=["test.run"], incarnation=1, **TIER)
    )


def test_who_is_there_keeps_what_it_said_itself_and_has_the_rest_from_a_new_declaration() -> None:
    own = AgentRegistered(name="Own", role="coder", capabilities=["code.fix"], incarnation=1)
    changed = Declare(name="Coder", role="mender", tier="system", capabilities=["code.mend"])
    given(AGENTS, DECLARED, own).when(changed).then(
        AgentDeclared(name="Coder", role="mender", tier="system", capabilities=["code.mend"]),
        AgentUpdated(name="Own", role="mender", tier="system", capabilities=["code.mend"], incarnation=1),
    )
    silent = AgentRegistered(name="Own", role="r", tier="system", capabilities=["y"], incarnation=1)
    given(AGENTS, silent).when(Declare(name="Coder", role="mender")).then(AgentDeclared(name="Coder", role="mender"))


def test_who_has_left_is_declared_anew() -> None:
    left = AgentUnregistered(incarnation=1)
    given(AGENTS, DECLARED, ALIVE, left).when(DECLARE).then(DECLARED)
    given(AGENTS, DECLARED, AgentUnregistered()).when(DECLARE).then(DECLARED)
    again = given(AGENTS, DECLARED, ALIVE, left, DECLARED)
    again.when(DECLARE).then()
    again.when(Register()).then(AgentRegistered(**{**_fields(ALIVE), "incarnation": 2}))


def _fields(data: AgentRegistered) -> dict[str, object]:
    return {name: getattr(data, name) for name in data.__struct_fields__}


def test_who_is_only_declared_can_be_changed_and_struck_off_but_neither_fall_silent_nor_die() -> None:
    told = AgentUpdated(name="Coder", role="mender", capabilities=["code.fix"], **TIER)
    given(AGENTS, DECLARED).when(Update(role="mender")).then(told)
    given(AGENTS, DECLARED, told).when(Update(role="mender")).then()
    given(AGENTS, DECLARED).when(Unregister()).then(AgentUnregistered())
    given(AGENTS, DECLARED).when(Suspect(incarnation=1)).then()
    given(AGENTS, DECLARED).when(Expire(incarnation=1)).then()


def test_a_declaration_brings_nobody_back_to_life() -> None:
    expired = AgentStateChanged(state="expired", incarnation=1)
    given(AGENTS, ALIVE, expired).when(DECLARE).then(DECLARED)
    given(AGENTS, ALIVE, expired, DECLARED).when(Suspect(incarnation=1)).then()
    with pytest.raises(Fenced):
        refuse_fenced("x", AgentRecord("expired", 1, ALIVE, None, DECLARED), 1)


def test_what_can_not_be_is_not_declared_either() -> None:
    given(AGENTS).when(Declare(name="a", parent_agent_id="x")).then_refused(InvalidCommand)
    given(AGENTS).when(Declare(name="a", heartbeat_interval_seconds=0)).then_refused(InvalidCommand)
