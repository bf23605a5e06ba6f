"""RPC: a program is kept warm, started again when it has died, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import pytest
from rookery.handlers.transports import BadAnswer, Call, Endpoint, Lost, Refused, TimedOut, Transports, Unreachable

from .conftest import is_alive, program, until_nobody_runs
from .test_contract import call

AGENT = Endpoint.of("rpc", program("rpc_agent"))


async def pid_of(transports: Transports, endpoint: Endpoint = AGENT) -> int:
    pid: int = (await transports.invoke(endpoint, call("pid")))["pid"]
    return pid


async def test_the_program_stays_for_the_next_call(transports: Transports) -> None:
    assert await pid_of(transports) == await pid_of(transports)


async def test_a_program_that_dies_says_why_and_another_takes_its_place(transports: Transports) -> None:
    first = await pid_of(transports)
    with pytest.raises(Lost, match="exit code 7; it last said: out of cheese"):
        await transports.invoke(AGENT, call("die"))
    os.kill(second := await pid_of(transports), signal.SIGKILL)
    with contextlib.suppress(Lost):  # whoever asks before anybody has noticed
        await pid_of(transports)
    assert len({first, second, await pid_of(transports)}) == 3


async def test_all_who_wait_for_a_program_that_dies_are_told(transports: Transports) -> None:
    waiting = [asyncio.create_task(transports.invoke(AGENT, call("hang"))) for _ in range(3)]
    await pid_of(transports)
    with pytest.raises(Lost):
        await transports.invoke(AGENT, call("die"))
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in found] == [Lost] * 3


async def test_closing_leaves_no_process_not_even_a_child_s(transports: Transports) -> None:
    child = (await transports.invoke(AGENT, call("breed")))["child"]
    pid = await pid_of(transports)
    await transports.close()
    assert not is_alive(pid)
    while is_alive(child):  # it has been killed, and that takes a moment
        await asyncio.sleep(0.01)


async def test_a_program_that_hangs_is_ended_when_nobody_waits_for_it_any_more(transports: Transports) -> None:
    pid = await pid_of(transports)
    with pytest.raises(TimedOut):
        await transports.invoke(AGENT, call("hang"), timeout_seconds=0.2)
    assert not is_alive(pid)


async def test_one_that_neither_reads_nor_ends_is_killed(
    transports: Transports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rookery.handlers.transports.programs.END_SECONDS", 0.2)
    deaf = Endpoint.of("rpc", program("rpc_agent", "deaf"))
    big = Call(id="as-1", capability="echo", input="x" * 500_000)  # more than a pipe holds
    with pytest.raises(TimedOut):
        await transports.invoke(deaf, big, timeout_seconds=0.5)
    await until_nobody_runs(deaf.address)


async def test_a_program_that_ends_at_once_is_not_there(
    transports: Transports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rookery.handlers.transports.rpc.ENDS_AT_ONCE_SECONDS", 60.0)  # whatever the machine takes
    with pytest.raises(Unreachable, match="exit code 2"):
        await transports.check(Endpoint.of("rpc", program("not_there")), timeout_seconds=60)


async def test_output_without_an_end_is_cut_off(transports: Transports) -> None:
    pid = await pid_of(transports)
    with pytest.raises(BadAnswer, match="more than 1,048,576 bytes"):
        await transports.invoke(AGENT, call("endless"))
    await transports.close()
    assert not is_alive(pid)


async def test_an_answer_with_neither_result_nor_error_is_none(transports: Transports) -> None:
    with pytest.raises(BadAnswer, match="neither"):
        await transports.invoke(AGENT, call("neither"))


async def test_the_program_is_told_of_the_task(transports: Transports) -> None:
    task = Call(id="as-42", capability="task", input=[1], agent_id="linter", attempt=2, traceparent="00-1-2-01")
    told = await transports.invoke(AGENT, task, timeout_seconds=9)
    assert told == {
        "id": "as-42",
        "capability": "task",
        "input": [1],
        "agent_id": "linter",
        "attempt": 2,
        "timeout_seconds": 9.0,
        "traceparent": "00-1-2-01",
    }


async def test_a_method_that_it_does_not_have_is_final(transports: Transports) -> None:
    with pytest.raises(Refused, match="no method fly"):
        await transports.invoke(AGENT, call("fly"))
