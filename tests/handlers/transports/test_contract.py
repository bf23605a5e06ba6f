"""What holds of every transport: one call, one result or one error of ours, in bounded time, and nothing is left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from rookery.bus import Bus
from rookery.handlers.transports import AgentFailed, BadAnswer, Call, Refused, TimedOut, Transports, Unreachable
from rookery.schemas import new_id

from ..agent.conftest import events_on
from .conftest import WAYS, Reached


def call(capability: str, input: Any = None) -> Call:
    return Call(id=new_id(), capability=capability, input=input)


INPUTS = [{}, {"text": "Zwölf Boxkämpfer\n\x00 \U0001f426"}, {"deep": [{"er": [None, True, 1.5, -(2**53), ""]}]}]


async def test_what_goes_in_comes_out(reached: Reached) -> None:
    for one in INPUTS:
        assert await reached.transports.invoke(reached.endpoint, call("echo", one)) == one


async def test_many_at_once_get_their_own_answers(reached: Reached) -> None:
    inputs = [{"n": n} for n in range(20)]
    found = await asyncio.gather(*(reached.transports.invoke(reached.endpoint, call("echo", one)) for one in inputs))
    assert found == inputs


async def test_a_failure_says_what_the_agent_said_in_one_line(reached: Reached) -> None:
    with pytest.raises(AgentFailed, match=r"the disk is full") as raised:
        await reached.transports.invoke(reached.endpoint, call("fail"))
    assert not raised.value.is_final
    assert raised.value.endpoint == reached.endpoint


async def test_what_takes_too_long_times_out_and_the_next_call_is_answered(reached: Reached) -> None:
    await reached.transports.invoke(reached.endpoint, call("echo", {}))
    with pytest.raises(TimedOut, match="may or may not have been done"):
        await reached.transports.invoke(reached.endpoint, call("hang"), timeout_seconds=0.2)
    assert await reached.transports.invoke(reached.endpoint, call("echo", {"a": 1})) == {"a": 1}


async def test_a_call_that_is_cancelled_lets_go(reached: Reached) -> None:
    calling = asyncio.create_task(reached.transports.invoke(reached.endpoint, call("hang")))
    await reached.transports.invoke(reached.endpoint, call("echo", {}))
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert await reached.transports.invoke(reached.endpoint, call("echo", {"a": 1})) == {"a": 1}


async def test_a_call_that_times_out_leaves_the_others_alone(reached: Reached) -> None:
    slow = asyncio.create_task(reached.transports.invoke(reached.endpoint, call("hang"), timeout_seconds=30))
    with pytest.raises(TimedOut):
        await reached.transports.invoke(reached.endpoint, call("hang"), timeout_seconds=0.2)
    assert await reached.transports.invoke(reached.endpoint, call("echo", {"a": 1})) == {"a": 1}
    assert not slow.done()
    slow.cancel()
    await asyncio.wait([slow])


async def test_where_nobody_is_the_task_is_not_begun(reached: Reached) -> None:
    with pytest.raises(Unreachable):
        await reached.transports.invoke(reached.absent, call("echo", {}))
    with pytest.raises(Unreachable):
        await reached.transports.check(reached.absent)


async def test_somebody_who_is_there_is_found_there(reached: Reached) -> None:
    await reached.transports.check(reached.endpoint)


async def test_a_capability_that_it_does_not_have_is_refused(reached: Reached) -> None:
    with pytest.raises(Refused if reached.says_no else AgentFailed) as raised:
        await reached.transports.invoke(reached.endpoint, call("fly"))
    assert raised.value.is_final == reached.says_no


async def test_an_answer_that_is_too_large_is_an_error(reached: Reached) -> None:
    expected = AgentFailed if reached.endpoint.transport == "nats" else BadAnswer  # the kit refuses it on its side
    with pytest.raises(expected, match="bytes"):
        await reached.transports.invoke(reached.endpoint, call("large"))
    assert await reached.transports.invoke(reached.endpoint, call("echo", {"a": 1})) == {"a": 1}


async def test_an_answer_that_is_none_is_an_error_that_shows_it(reached: Reached) -> None:
    if reached.endpoint.transport == "nats":
        pytest.skip("an event is always JSON")
    with pytest.raises(BadAnswer, match=r"Starting up \.\.\.|malformed"):
        await reached.transports.invoke(reached.endpoint, call("nonsense"))
    assert await reached.transports.invoke(reached.endpoint, call("echo", {"a": 1})) == {"a": 1}


async def test_every_call_is_counted_by_how_it_ended(reached: Reached) -> None:
    await reached.transports.invoke(reached.endpoint, call("echo", {}))
    with pytest.raises(AgentFailed):
        await reached.transports.invoke(reached.endpoint, call("fail"))
    with pytest.raises(TimedOut):
        await reached.transports.invoke(reached.endpoint, call("hang"), timeout_seconds=0.2)
    with pytest.raises(Unreachable):
        await reached.transports.invoke(reached.absent, call("echo", {}))
    name = reached.endpoint.transport
    assert reached.transports.calls == {
        (name, "ok"): 1,
        (name, "failed"): 1,
        (name, "timed_out"): 1,
        (name, "unreachable"): 1,
    }


async def test_a_task_on_the_bus_that_nobody_waits_for_is_called_off(
    transports: Transports, memory_bus: Bus, tmp_path: Path
) -> None:
    async with WAYS["nats"](transports, tmp_path, memory_bus) as reached:
        with pytest.raises(TimedOut):
            await transports.invoke(reached.endpoint, call("hang"), timeout_seconds=0.2)
    assert len(await events_on(memory_bus, "assignment.cancelled")) == 1
