"""Work is given to agents over HTTP and on the command line, and what comes of it is told there."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from threading import Thread
from typing import Any

import nats
import pytest
from rookery import Agent, Task
from rookery.bus import NatsBus, Work
from rookery.ops import assignments
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.client import Client, RequestRefused
from rookery.ops.data_folder import DataFolder
from rookery.ops.lanes import Lane
from rookery.ops.node import running_node
from rookery.ops.settings import Settings
from rookery.schemas import (
    AgentRegistered,
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentStarted,
    AssignmentTimedOut,
    Event,
    EventData,
    encode,
)

from .conftest import Rookery

AGENT = "/agents/coder-7"


@pytest.fixture
async def bus(node: NodeProcess) -> AsyncIterator[NatsBus]:
    async with await NatsBus.connect(node.node.nats_url) as bus:
        yield bus


async def test_an_agent_that_only_has_nats_may_be_there_before_any_work_is(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        async with running_node(folder, Settings(data=tmp_path, port=0, nats_port=0)) as node:
            client = await nats.connect(node.nats_url)
            queue = await client.jetstream().pull_subscribe("work.any.lint", "any-lint", "WORK")
            assert (await queue.consumer_info()).num_pending == 0
            await client.close()


@pytest.mark.parametrize(("unwell_seconds_max", "wait_seconds"), [(0.0, 60.0), (60.0, 1.0)])
async def test_what_came_of_it_is_told_though_queries_are_held_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unwell_seconds_max: float, wait_seconds: float
) -> None:
    monkeypatch.setattr("rookery.ops.health.UNWELL_SECONDS_MAX", unwell_seconds_max)
    with DataFolder(tmp_path) as folder:
        async with running_node(folder, Settings(data=tmp_path, port=0, nats_port=0)) as node:
            given = await assignments.give(node, assignments.Wanted(capability="held.up"))
            await node.until((await node.bus.state()).last_sequence, "visible")
            scratch = tmp_path / "projections.duckdb.scratch"
            scratch.rename(tmp_path / "aside")
            scratch.touch()  # a file where the folder was: nothing can be folded
            await do(node.bus, "held.up", AssignmentCompleted(agent_id="coder-7", result=7))
            while node.health.subsystems["projector"].state != "failed":
                await asyncio.sleep(0.01)
            told = await assignments.until_over(
                node, given.assignment_id, wait_seconds, Lane("reads", 1, 1), wait="visible"
            )
            assert (told.status, told.result) == ("completed", 7)
            assert node.health.subsystems["projector"].state == "failed", "it was not waited for until it was mended"
            scratch.unlink()
            (tmp_path / "aside").rename(scratch)


async def test_what_was_done_before_the_bus_was_lost_is_not_given_again_under_its_id(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, port=0, nats_port=0)
    wanted = assignments.Wanted(capability="pay", id="invoice-1")
    with DataFolder(tmp_path) as folder:
        async with running_node(folder, settings) as node:
            await assignments.give(node, wanted)
            await do(node.bus, "pay", AssignmentCompleted(agent_id="coder-7", result=7))
            await node.until((await node.bus.state()).last_sequence, "visible")
    shutil.rmtree(tmp_path / "nats")
    with DataFolder(tmp_path) as folder:
        async with running_node(folder, settings) as node:
            told = await assignments.give(node, wanted)
            assert (told.status, told.result) == ("completed", 7)
            assert [page async for page in node.bus.tasks_held("pay")] == []


async def do(bus: NatsBus, capability: str, end: EventData, **options: Any) -> Work:
    """Take up the next task of a capability, and end it."""
    async with aclosing(bus.work(capability, in_hand_max=1, **options)) as tasks:
        async with asyncio.timeout(20):
            work = await anext(tasks)
        await tell(bus, work.event.subject, AssignmentStarted(agent_id="coder-7", run_id="run-9"), end)
        await work.done()
        return work


async def tell(bus: NatsBus, subject: str, *facts: EventData) -> None:
    for fact in facts:
        await bus.publish(Event.of(fact, subject=subject, source=AGENT))


async def give(client: Client, **wanted: Any) -> Any:
    return await asyncio.to_thread(client.post, "/assignments", json.dumps(wanted).encode())


async def ask(client: Client, path: str, **parameters: Any) -> Any:
    return await asyncio.to_thread(client.get, f"/assignments/{path}", **parameters)


class TestOverHttp:
    async def test_given_work_reaches_an_agent_and_is_in_the_record(self, client: Client, bus: NatsBus) -> None:
        told = await give(client, capability="http.plain", input={"path": "."}, timeout_seconds=7)
        assert (told["status"], told["capability"], told["agent_id"]) == ("pending", "http.plain", None)
        work = await do(bus, "http.plain", AssignmentCompleted(agent_id="coder-7", result={"findings": 3}))
        assert work.event.subject == told["assignment_id"]
        assert work.event.payload() == AssignmentCreated(
            kind="http.plain", skill="http.plain", input={"path": "."}, timeout_seconds=7
        )
        over = await ask(client, told["assignment_id"])
        assert (over["status"], over["result"], over["agent_id"]) == ("completed", {"findings": 3}, "coder-7")
        assert (over["run_id"], over["created_at"]) == ("run-9", told["created_at"])
        assert over["created_at"] <= over["started_at"] <= over["ended_at"]
        found = await asyncio.to_thread(client.get, "/events", entity=f"assignment/{told['assignment_id']}", limit=1)
        assert found["id"] == work.event.id

    @pytest.mark.parametrize(
        ("end", "status", "error"),
        [
            (AssignmentCompleted(agent_id="coder-7", duration_seconds=2.5), "completed", None),
            (AssignmentFailed(agent_id="coder-7", error="no such path"), "failed", "no such path"),
            (AssignmentTimedOut(agent_id="coder-7"), "timed_out", None),
            (AssignmentCancelled(reason="too dear"), "cancelled", "too dear"),
        ],
    )
    async def test_who_waits_is_answered_at_the_end_whatever_it_is(
        self, client: Client, bus: NatsBus, end: EventData, status: str, error: str | None
    ) -> None:
        told = await give(client, capability=f"http.{status}")
        waiting = asyncio.create_task(ask(client, told["assignment_id"], wait_seconds=30))
        await do(bus, f"http.{status}", end)
        over = await waiting
        assert (over["status"], over["error"]) == (status, error)
        assert over["duration_seconds"] == getattr(end, "duration_seconds", None)

    async def test_who_was_told_the_end_finds_it_in_queries(self, client: Client, bus: NatsBus) -> None:
        told = await give(client, capability="http.visible")
        waiting = asyncio.create_task(ask(client, told["assignment_id"], wait_seconds=30))
        await do(bus, "http.visible", AssignmentCompleted(agent_id="coder-7", result=1))
        await waiting
        found = await asyncio.to_thread(client.get, "/query/assignments", assignment_id=told["assignment_id"])
        assert [row["status"] for row in found["rows"]] == ["completed"]

    async def test_who_waits_too_short_is_told_how_it_stands(self, client: Client, bus: NatsBus) -> None:
        told = await give(client, capability="http.slow")
        assert (await ask(client, told["assignment_id"], wait_seconds=0.01))["status"] == "pending"
        await tell(bus, told["assignment_id"], AssignmentStarted(agent_id="coder-7"))
        assert (await ask(client, told["assignment_id"], wait_seconds=0.01))["status"] == "running"

    async def test_what_happens_after_the_end_changes_nothing(self, client: Client, bus: NatsBus) -> None:
        told = await give(client, capability="http.twice")
        await do(bus, "http.twice", AssignmentFailed(agent_id="coder-7", error="first"))
        await tell(bus, told["assignment_id"], AssignmentCompleted(agent_id="other", result="late"))
        over = await ask(client, told["assignment_id"])
        assert (over["status"], over["error"], over["result"]) == ("failed", "first", None)

    async def test_a_result_that_is_too_late_or_anothers_is_refused_and_changes_nothing(
        self, client: Client, bus: NatsBus
    ) -> None:
        claim = AssignmentCompleted(agent_id="coder-7", result="mine")
        told = await give(client, capability="http.claimed")
        given = told["assignment_id"]

        async def denied(error: str) -> str:
            event = Event.of(claim, subject=given, source=AGENT)
            with pytest.raises(RequestRefused) as refused:
                await asyncio.to_thread(client.post, "/events", encode(event))
            assert (refused.value.status, refused.value.problem["new"]) == (409, 0)
            [refusal] = refused.value.problem["refusals"]
            assert (refusal["error"], refusal["field"]) == (error, "subject")
            return str(refusal["reason"])

        await tell(bus, given, AssignmentStarted(agent_id="other"))
        assert f"assignment {given} is held by other, and not, in this attempt, by coder-7" in await denied(
            "NotTheHolder"
        )
        assert (await ask(client, given))["status"] == "running"
        await tell(bus, given, AssignmentFailed(agent_id="other", error="first"))
        assert "is over (failed, by other)" in await denied("AssignmentOver")
        assert (await ask(client, given))["error"] == "first"
        counted = await asyncio.to_thread(client.fetch, "GET", "/metrics")
        for error in ("NotTheHolder", "AssignmentOver"):
            assert f'rookery_claims_denied_total{{error="{error}"}} 1.0' in counted.content.decode()

    async def test_an_id_is_given_once(self, client: Client, bus: NatsBus) -> None:
        once = {"capability": "http.once", "id": "as/once ü", "input": 1}
        assert (await give(client, **once))["status"] == "pending"
        assert (await give(client, **once))["status"] == "pending"
        assert (await give(client, **once | {"capability": "http.other"}))["capability"] == "http.once"
        await do(bus, "http.once", AssignmentCompleted(agent_id="coder-7"))
        assert (await give(client, **once))["status"] == "completed"
        await give(client, capability="http.once", id="as-next")
        assert (await do(bus, "http.once", AssignmentCompleted(agent_id="coder-7"))).event.subject == "as-next"
        assert (await ask(client, "as%2Fonce%20%C3%BC"))["status"] == "completed"

    async def test_an_agent_of_the_kit_does_what_it_is_given(self, client: Client, bus: NatsBus) -> None:
        agent = Agent("http-kit", ["http.count"])

        @agent.on("http.count")
        async def count(task: Task) -> int:
            return len(task.input)

        async with agent.serving(bus):
            told = await give(client, capability="http.count", input="four")
            done = await ask(client, told["assignment_id"], wait_seconds=30)
            with pytest.raises(RequestRefused, match=r"no capability 'http\.other'"):
                await give(client, capability="http.other", agent_id="http-kit")
        assert (done["status"], done["result"], done["agent_id"]) == ("completed", 4, "http-kit")
        with pytest.raises(RequestRefused, match="'http-kit' is unregistered") as refused:
            await give(client, capability="http.count", agent_id="http-kit")
        assert refused.value.status == 409

    async def test_the_best_gets_it_and_the_reasons_are_told(self, client: Client, bus: NatsBus) -> None:
        for name in ("http-good", "http-busy"):
            joined = AgentRegistered(name=name, capabilities=["http.best"], assignments_max=1)
            await bus.publish(Event.of(joined, subject=name, source=f"/agents/{name}"))
        told = [await give(client, capability="http.best", best=True, deadline_seconds=60) for _ in range(3)]
        assert {told[0]["agent_id"], told[1]["agent_id"]} == {"http-good", "http-busy"}
        assert told[0]["chosen"]["agent_id"] == told[0]["agent_id"]
        assert (told[2]["agent_id"], told[2]["chosen"]["eligible"]) == (None, 0)
        with pytest.raises(RequestRefused, match=r"'http\.nobody'") as refused:
            await give(client, capability="http.nobody", best=True)
        assert refused.value.status == 409

    async def test_work_for_an_agent_reaches_that_agent(self, client: Client, bus: NatsBus) -> None:
        with pytest.raises(RequestRefused, match="no agent is called 'http-bob'") as refused:
            await give(client, capability="http.named", agent_id="http-bob")
        assert refused.value.status == 404
        joined = AgentRegistered(name="bob", capabilities=["http.named"])
        await bus.publish(Event.of(joined, subject="http-bob", source="/agents/http-bob"))
        told = await give(client, capability="http.named", agent_id="http-bob")
        work = await do(bus, "another", AssignmentCompleted(agent_id="http-bob"), agent_id="http-bob")
        assert work.event.subject == told["assignment_id"]

    @pytest.mark.parametrize(
        ("wanted", "reason"),
        [
            ({}, "capability"),
            ({"capability": ""}, "capability"),
            ({"capability": "a\nb"}, "capability"),
            ({"capability": 7}, "capability"),
            ({"capability": "a", "timeout_seconds": -1}, "timeout_seconds"),
            ({"capability": "a", "agent": "b"}, "agent"),
            ({"capability": "a", "id": "x" * 257}, "id"),
            ({"capability": "\N{SNOWMAN}" * 256}, "data.kind"),
            ({"capability": "a", "agent_id": "\N{SNOWMAN}" * 256}, "data.agent_id"),
            ({"capability": "a", "source": "no spaces"}, "source"),
        ],
    )
    async def test_what_can_not_be_is_refused_and_leaves_no_trace(
        self, client: Client, wanted: dict[str, Any], reason: str
    ) -> None:
        before = await asyncio.to_thread(client.get, "/status")
        with pytest.raises(RequestRefused, match=reason):
            await give(client, **wanted)
        assert (await asyncio.to_thread(client.get, "/status"))["events"] == before["events"]

    def test_too_much_input_is_refused(self, client: Client) -> None:
        with pytest.raises(RequestRefused, match="may bring 1,048,576 bytes"):
            client.post("/assignments", json.dumps({"capability": "a", "input": "x" * 2_000_000}).encode())

    def test_nesting_that_no_reader_bears_is_refused(self, client: Client) -> None:
        with pytest.raises(RequestRefused, match="nested"):
            client.post("/assignments", b'{"capability":"a","input":' + 80 * b"[" + 80 * b"]" + b"}")

    def test_an_unknown_assignment_is_not_found(self, client: Client) -> None:
        with pytest.raises(RequestRefused, match="no assignment is called 'nobody'") as refused:
            client.get("/assignments/nobody", wait_seconds=1)
        assert refused.value.status == 404


class Worker:
    """An agent in a thread of its own, which ends the next task of a capability."""

    def __init__(self, node: NodeProcess, capability: str, end: EventData) -> None:
        self._thread = Thread(target=lambda: asyncio.run(self._work(node.node.nats_url, capability, end)))
        self._thread.start()

    async def _work(self, url: str, capability: str, end: EventData) -> None:
        async with await NatsBus.connect(url) as bus:
            await do(bus, capability, end)

    def join(self) -> None:
        self._thread.join()


class TestOnTheCommandLine:
    def test_work_that_waits_is_called_off_and_nothing_else_is(self, rookery: Rookery) -> None:
        assignment_id = rookery("assign", "never.done").out.strip()
        assert rookery("cancel", assignment_id, "--reason", "no").out == f"{assignment_id} cancelled\n"
        (row,) = rookery("query", "assignments", "--where", f"assignment_id={assignment_id}", "--json").json
        assert (row["status"], row["error"]) == ("cancelled", "no")
        assert rookery("cancel", assignment_id, "--json").json["status"] == "cancelled"
        unknown = rookery("cancel", "nobody-knows")
        assert (unknown.code, "nobody-knows" in unknown.err) == (2, True)

    def test_what_was_given_is_listed_and_shown_with_all_that_happened(self, rookery: Rookery) -> None:
        ids = [rookery("assign", "cli.listed").out.strip() for _ in range(3)]
        rookery("cancel", ids[0], "--reason", "no")
        listed = rookery("assignments", "list", "--kind", "cli.listed", "--json").json
        assert [row["assignment_id"] for row in listed] == ids[::-1]
        assert (
            len(rookery("assignments", "list", "--kind", "cli.listed", "--status", "pending,running", "--json").json)
            == 2
        )
        assert len(rookery("assignments", "list", "--kind", "cli.listed", "--limit", 1, "--json").json) == 1
        shown = rookery("assignments", "show", ids[0])
        assert "reason=no" in shown.out
        history = rookery("assignments", "show", ids[0], "--json").json["history"]
        assert [one["fact"] for one in history] == ["created", "cancelled"]
        assert rookery("assignments", "show", "nobody-knows").code == 2

    def test_what_was_called_off_is_given_once_more_and_what_waits_is_not(self, rookery: Rookery) -> None:
        first = rookery("assign", "cli.again", "--input", "7").out.strip()
        refused = rookery("assignments", "retry", first)
        assert (refused.code, "is pending" in refused.err) == (2, True)
        rookery("cancel", first)
        second = rookery("assignments", "retry", first).out.strip()
        assert rookery("assignments", "retry", first).out.strip() == second
        created = rookery("assignments", "show", second, "--json").json["history"][0]["data"]
        assert (created["kind"], created["metadata"]) == ("cli.again", {"retry_of": first})

    def test_practice_goes_to_who_has_room(self, rookery: Rookery) -> None:
        able = '{"name": "A", "capabilities": ["cli.practice"], "assignments_max": 1}'
        rookery("publish", "agent.registered", "cli-practising", "--data", able)
        asked = ("assignments", "distribute", "--skill", "cli.practice", "--input", "[1]", "--json")
        [one] = rookery(*asked).json["assignments"]
        assert (one["agent_id"], one["chosen"]["reason"]) == ("cli-practising", "practice: unknown")
        assert rookery(*asked).json == {"assignments": [], "refused": []}

    def test_the_id_is_printed_and_the_work_waits(self, rookery: Rookery) -> None:
        given = rookery("assign", "cli.plain", "--input", '{"path": "."}')
        assert given.code == 0
        assert "no agent has registered with the capability 'cli.plain'" in given.err
        [row] = rookery("query", "assignments", "--where", "kind=cli.plain", "--json").json
        assert (row["assignment_id"], row["status"]) == (given.out.strip(), "pending")

    def test_where_an_agent_has_the_capability_nothing_is_remarked(self, rookery: Rookery) -> None:
        rookery("publish", "agent.registered", "cli-able", "--data", '{"name": "A", "capabilities": ["cli.able"]}')
        assert rookery("assign", "cli.able").err == ""

    def test_who_waits_gets_the_result(self, rookery: Rookery, node: NodeProcess) -> None:
        agent = Worker(node, "cli.wait", AssignmentCompleted(agent_id="coder-7", result={"findings": 3}))
        done = rookery("assign", "cli.wait", "--wait")
        agent.join()
        assert (done.code, done.json) == (0, {"findings": 3})

    def test_all_that_is_known_comes_as_json(self, rookery: Rookery, node: NodeProcess) -> None:
        agent = Worker(node, "cli.json", AssignmentCompleted(agent_id="coder-7", result=[1]))
        done = rookery("assign", "cli.json", "--wait", "--json", "--id", "cli-json", "--timeout", 9)
        agent.join()
        assert (done.json["assignment_id"], done.json["status"], done.json["result"]) == ("cli-json", "completed", [1])

    def test_work_that_failed_ends_with_exit_code_1_and_the_reason(self, rookery: Rookery, node: NodeProcess) -> None:
        agent = Worker(node, "cli.fail", AssignmentFailed(agent_id="coder-7", error="no such path"))
        failed = rookery("assign", "cli.fail", "--wait", "--id", "cli-fail")
        agent.join()
        assert (failed.code, failed.out) == (1, "")
        assert "assignment cli-fail failed: no such path" in failed.err

    def test_input_comes_from_a_file(self, rookery: Rookery, node: NodeProcess, tmp_path: Path) -> None:
        (tmp_path / "input.json").write_text('{"a": [1, 2]}\n')
        given = rookery("assign", "cli.file", "--input", f"@{tmp_path / 'input.json'}", "--json").json
        [data] = rookery("sql", f"select data from events where subject = '{given['assignment_id']}'", "--json").json
        assert data["data"]["input"] == {"a": [1, 2]}

    @pytest.mark.parametrize(
        ("arguments", "code", "reason"),
        [
            (["--input", "{"], 2, "not JSON"),
            (["--input", "@nowhere.json"], 1, "nowhere.json"),
            (["--timeout", "0"], 2, "--timeout"),
            (["--agent", ""], 2, "agent_id"),
        ],
    )
    def test_what_can_not_be_is_refused(self, rookery: Rookery, arguments: list[str], code: int, reason: str) -> None:
        refused = rookery("assign", "cli.bad", *arguments)
        assert (refused.code, reason in refused.err) == (code, True)
