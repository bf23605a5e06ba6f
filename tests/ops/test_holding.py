"""What who has work says of it comes to the same over HTTP as by the commands on the bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from rookery.bus import CommandRefused, NatsBus
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.client import Client, RequestRefused

Word = dict[str, Any]
Steps = list[tuple[str, Word]]
Told = tuple[str, str, dict[str, Any]]

A, B = {"agent_id": "a"}, {"agent_id": "b"}
SHOWN = ("status", "agent_id", "run_id", "attempts", "result", "error", "duration_seconds")

LIVES: dict[str, Steps] = {
    "done": [("start", A | {"run_id": "r"}), ("complete", A | {"result": {"n": [1]}, "duration_seconds": 2.5})],
    "failed": [("start", A), ("fail", A | {"error": "no such path"}), ("complete", A)],
    "given back": [("start", A), ("release", A | {"reason": "stopped"}), ("release", A), ("complete", A), ("start", B)],
    "taken over": [("start", A), ("start", B), ("complete", A), ("complete", B), ("start", A), ("release", A)],
    "never begun": [("complete", A), ("fail", A | {"error": "x"}), ("release", A)],
    "another's": [("start", A), ("complete", B), ("fail", B | {"error": "x"}), ("release", B)],
    "another attempt's": [("start", A | {"run_id": "r2"}), ("complete", A | {"run_id": "r1"})],
}


@pytest.fixture
async def bus(node: NodeProcess) -> AsyncIterator[NatsBus]:
    async with await NatsBus.connect(node.node.nats_url) as bus:
        yield bus


async def give(client: Client, id: str, **wanted: Any) -> None:
    await asyncio.to_thread(client.post, "/assignments", json.dumps({"capability": "c", "id": id, **wanted}).encode())


async def over_http(client: Client, id: str, verb: str, word: Word) -> str:
    """The error that it was refused with, as its type and its words; or nothing."""
    try:
        await asyncio.to_thread(client.post, f"/assignments/{id}/{verb}", json.dumps(word).encode())
    except RequestRefused as refused:
        error = refused
    else:
        return ""
    assert error.status == (404 if error.problem["error"] == "UnknownAssignment" else 409)
    return f"{error.problem['error']}: {error}"


async def by_command(bus: NatsBus, id: str, verb: str, word: Word) -> str:
    try:
        await bus.request(f"cmd.assignments.{verb}", json.dumps({"subject": id, "data": word}).encode())
    except CommandRefused as refused:
        return f"{refused.type}: {refused.reason}"
    return ""


async def lived(client: Client, id: str, say: Callable[[str, Word], Awaitable[str]], steps: Steps) -> list[Told]:
    """What each step came to, and how the assignment stood then."""
    found = list[Told]()
    for verb, word in steps:
        error = (await say(verb, word)).replace(id, "ID")
        standing = await asyncio.to_thread(client.get, f"/assignments/{id}")
        found.append((verb, error, {name: standing[name] for name in SHOWN}))
    return found


@pytest.mark.parametrize("name", LIVES)
async def test_both_faces_come_to_the_same(client: Client, bus: NatsBus, name: str) -> None:
    here, there = (f"{way}-{name.replace(' ', '-')}" for way in ("http", "nats"))
    for one in (here, there):
        await give(client, one)
    first = await lived(client, here, lambda verb, word: over_http(client, here, verb, word), LIVES[name])
    assert first == await lived(client, there, lambda verb, word: by_command(bus, there, verb, word), LIVES[name])


async def test_work_that_nobody_gave_or_that_is_for_another_is_not_begun(client: Client, bus: NatsBus) -> None:
    await asyncio.to_thread(client.post, "/agents", b'{"agent_id": "b", "capabilities": ["c"]}')
    await give(client, "bound", agent_id="b")
    for name, error in (("nobody-gave", "UnknownAssignment"), ("bound", "NotTheHolder")):
        refused = await over_http(client, name, "start", A)
        assert refused.startswith(error)
        assert refused == await by_command(bus, name, "start", A)


async def test_it_is_the_agents_own_word_and_under_an_id_it_is_carried_out_once(client: Client) -> None:
    await give(client, "once")
    for verb, word in (("start", A | {"id": "c-1"}), ("complete", A | {"result": 7, "id": "c-2"})):
        for _ in range(2):
            assert await over_http(client, "once", verb, word) == ""
    history = (await asyncio.to_thread(client.get, "/assignments/once/history"))["history"]
    assert [one["fact"] for one in history] == ["created", "started", "completed"]
    assert {one["source"] for one in history[1:]} == {"/agents/a"}
    assert await over_http(client, "once", "complete", A | {"result": 8}) != ""


async def test_what_no_source_can_name_speaks_by_the_node(client: Client) -> None:
    await give(client, "odd")
    assert await over_http(client, "odd", "start", {"agent_id": "eu/ä"}) == ""
    last = (await asyncio.to_thread(client.get, "/assignments/odd/history"))["history"][-1]
    assert (last["source"], last["data"]["agent_id"]) == ("/nodes/local", "eu/ä")


@pytest.mark.parametrize("word", [{}, {"agent_id": 5}, A | {"resutl": 1}, A | {"id": ""}])
async def test_what_is_no_word_is_refused_and_changes_nothing(client: Client, word: Word) -> None:
    await give(client, "kept")
    with pytest.raises(RequestRefused) as refused:
        await asyncio.to_thread(client.post, "/assignments/kept/start", json.dumps(word).encode())
    assert refused.value.status == 422
    assert (await asyncio.to_thread(client.get, "/assignments/kept"))["status"] == "pending"
