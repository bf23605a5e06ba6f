"""A node's reactions: alerts, what is parked, how it is told of, re-driven and discarded."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from rookery.bus import Entity, NatsBus
from rookery.handlers import alerts
from rookery.handlers.reactions import Answer, Cause, Reactions, Tell
from rookery.ops.api.app import create_app
from rookery.ops.data_folder import DataFolder
from rookery.ops.node import Node, running_node
from rookery.ops.settings import Settings
from rookery.schemas import Event, EventData, InsightRecorded, RunFailed, RunStarted, encode

ROOT = Path(__file__).resolve().parents[2]
CONDITION_SECONDS = 20.0


class Pager:
    """An effect that works only when it is mended."""

    def __init__(self) -> None:
        self.works = False
        self.calls: list[str] = []

    async def page(self, cause: Cause) -> Answer:
        self.calls.append(cause.address)
        if not self.works:
            raise ConnectionError("the pager is down")
        return [Tell(InsightRecorded(kind="page", text=cause.data.task), cause.entity.id)]

    def tables(self) -> list[Reactions]:
        return [Reactions("pages", {RunStarted: [self.page]}), alerts.REACTIONS]


class At(NamedTuple):
    """A node in this process, and its API."""

    node: Node
    http: httpx.AsyncClient

    async def publish(self, *facts: tuple[EventData, str], time: datetime | None = None) -> None:
        events = [Event.of(data, subject=subject, source="/agents/a", time=time) for data, subject in facts]
        taken = await self.node.take([encode(event) for event in events])
        assert not taken.refusals

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(CONDITION_SECONDS):
            while not is_so():
                await asyncio.sleep(0.01)

    async def level(self) -> None:
        """Wait until there is nothing to react to any more, and the read models hold it all."""
        while True:
            held = (await self.node.bus.state()).last_sequence
            await self.node.until(held, "visible")
            await self.until(lambda: self.node.reactions.is_idle)
            if (await self.node.bus.state()).last_sequence == held:
                return

    async def get(self, path: str, **parameters: Any) -> Any:
        return (await self.http.get(path, params=parameters)).raise_for_status().json()


@asynccontextmanager
async def at(folder: Path, tables: list[Reactions]) -> AsyncIterator[At]:
    settings = Settings(data=folder, port=0, nats_port=0)
    with DataFolder(folder) as owned:
        async with running_node(owned, settings, tables=tables) as node:
            node.reactions.hasten(attempts_max=2)
            transport = httpx.ASGITransport(create_app(node))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                yield At(node, http)


async def test_what_is_parked_is_told_of_survives_a_restart_and_is_redriven_in_order(
    tmp_path: Path,
) -> None:
    pager = Pager()
    async with at(tmp_path, pager.tables()) as here:
        await here.publish(
            (RunStarted(task="one"), "x"), (RunStarted(task="two"), "x"), (RunStarted(task="three"), "y")
        )
        await here.level()
        found = await here.get("/dead-letters")
        assert {row["entity"]: (row["kind"], row["reason"], row["attempts"]) for row in found} == {
            "run/x": ("reaction", "ConnectionError: the pager is down", 2),
            "run/y": ("reaction", "ConnectionError: the pager is down", 2),
        }
        assert [row["later_events"] for row in found] == [1, 0]
        health = await here.get("/health")
        assert (health["status"], health["subsystems"]["reactions"]["state"]) == ("ready", "degraded")
        assert "2 reactions are parked: pages.page under run/x" in health["subsystems"]["reactions"]["detail"]
        metrics = (await here.http.get("/metrics")).text
        assert 'rookery_reactions_parked{reaction="pages.page"} 2.0' in metrics
        alert = await here.get("/query/alerts")
        assert [row["kind"] for row in alert["rows"]] == ["reaction_parked", "reaction_parked"]
        before = here.node.log.vector()
    pager.calls.clear()
    async with at(tmp_path, pager.tables()) as here:
        await here.level()
        assert (len(here.node.reactions.parked()), pager.calls) == (2, [])
        pager.works = True
        answer = await here.http.post("/dead-letters/redrive", json={"entity": "run/x"})
        assert [one["reaction"] for one in answer.raise_for_status().json()] == ["pages.page"]
        await here.level()
        insights = await here.get("/query/insights")
        assert [row["text"] for row in insights["rows"]] == ["one", "two"]
        assert [row["entity"] for row in await here.get("/dead-letters")] == ["run/y"]
        then = ",".join(f"{origin}:{n}" for origin, n in before.items())
        assert {row["entity"] for row in await here.get("/dead-letters", as_of=then)} == {"run/x", "run/y"}


async def test_what_is_discarded_is_never_done_and_the_reason_stays(tmp_path: Path) -> None:
    pager = Pager()
    async with at(tmp_path, pager.tables()) as here:
        await here.publish((RunStarted(task="one"), "x"), (RunStarted(task="two"), "x"))
        await here.level()
        refused = await here.http.post("/dead-letters/discard", json={"entity": "run/x"})
        assert (refused.status_code, "reason" in refused.json()["detail"]) == (422, True)
        pager.works = True
        gone = await here.http.post("/dead-letters/discard", json={"all": True, "reason": "no pager any more"})
        gone.raise_for_status()
        await here.level()
        assert [row["text"] for row in (await here.get("/query/insights"))["rows"]] == ["two"]
        rows = (await here.get("/query/reactions", status="discarded"))["rows"]
        assert [row["reason"] for row in rows] == ["no pager any more"]
        nothing = await here.http.post("/dead-letters/redrive", json={"entity": "run/x"})
        assert (nothing.status_code, "nothing is parked" in nothing.json()["detail"]) == (404, True)
        unsaid = await here.http.post("/dead-letters/redrive", json={})
        assert unsaid.status_code == 422


async def test_failed_runs_and_dead_letters_raise_alerts_once_and_history_raises_none(tmp_path: Path) -> None:
    async with at(tmp_path, [alerts.REACTIONS]) as here:
        failed = RunFailed(agent_id="coder", error="the tests fail")
        await here.publish((failed, "r1"), (failed, "r2"))
        await here.publish(
            (RunFailed(agent_id="ann", error="long ago"), "r0"), time=datetime.now(UTC) - timedelta(days=9)
        )
        unknown = msgspec.structs.replace(Event.of(failed, subject="r1", source="/agents/a"), type="run.teleported")
        await here.node.bus.publish(unknown)
        await here.level()
        rows = (await here.get("/query/alerts"))["rows"]
        assert {row["alert_id"]: (row["text"], row["times"]) for row in rows} == {
            "run_failed coder": ("a run of coder failed: the tests fail", 1),
            "dead_letter run.teleported": (
                "run.teleported came that no read model holds: unknown event type 'run.teleported'; "
                "did you mean 'run.started'?",
                1,
            ),
        }
        (letter,) = await here.get("/dead-letters", entity="run/r1")
        assert (letter["kind"], letter["fault"], letter["later_events"]) == ("event", "unknown_type", 0)
        assert await here.get("/dead-letters", type="run.started") == []


async def test_what_is_published_as_soon_as_a_node_is_there_is_answered(tmp_path: Path) -> None:
    async with at(tmp_path, [alerts.REACTIONS]) as here:
        assert here.node.reactions.has_begun


async def test_commands_are_served_on_the_bus(tmp_path: Path) -> None:
    async with at(tmp_path, [alerts.REACTIONS]) as here, await NatsBus.connect(here.node.nats_url) as bus:
        asked = {"subject": "disk", "id": "c-1", "data": {"kind": "disk", "text": "it is full"}}
        first = msgspec.json.decode(await bus.request("cmd.alerts.raise", msgspec.json.encode(asked)))
        again = msgspec.json.decode(await bus.request("cmd.alerts.raise", msgspec.json.encode(asked)))
        assert (first["repeated"], again["repeated"]) == (False, True)
        assert [event["id"] for event in first["events"]] == [event["id"] for event in again["events"]]
        assert first["events"][0]["type"] == "alert.raised"


@pytest.mark.parametrize("written", [b"", b"{", b'{"reached":7000}'], ids=["none", "torn", "another log's"])
async def test_without_its_file_a_node_knows_from_the_log_what_is_parked(tmp_path: Path, written: bytes) -> None:
    pager = Pager()
    async with at(tmp_path, pager.tables()) as here:
        await here.publish((RunStarted(task="one"), "x"))
        await here.level()
    path = DataFolder(tmp_path).reactions
    path.unlink()
    if written:
        path.write_bytes(written)
    pager.calls.clear()
    async with at(tmp_path, pager.tables()) as here:
        await here.level()
        (held,) = here.node.reactions.parked()
        assert (held.entity.id, held.error, held.attempts) == ("x", "ConnectionError: the pager is down", 2)
        assert pager.calls == []
        parked = list(here.node.log.search(types={"reaction.parked"}))
        assert len(parked) == 1


async def test_what_a_later_version_can_read_is_folded_and_answered_by_itself(tmp_path: Path) -> None:
    async with at(tmp_path, [alerts.REACTIONS]) as here:
        known = Event.of(RunStarted(task="one"), subject="g1", source="/agents/a")
        await here.node.bus.publish(msgspec.structs.replace(known, type="gizmo.turned"))
        await here.publish((RunStarted(task="two"), "r"))
        await here.level()
        (letter,) = await here.get("/dead-letters", type="gizmo.turned")
        assert (letter["entity"], letter["fault"], letter["later_events"]) == ("gizmo/g1", "unknown_type", 0)
        events = (await here.get("/query/fleet"))["rows"][0]["events"]
    later = Path(__file__).with_name("later_version.py")
    program = await asyncio.create_subprocess_exec(
        sys.executable, str(later), str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=ROOT / ".links"
    )
    told = msgspec.json.decode((await program.communicate())[0])
    assert (told["letters"], told["by_itself"], told["same"]) == ([], True, True)
    # The gizmo's turn, the node's stop and start, and what the reaction told, with the word that it is done.
    assert told["fleet"] == told["as_of"] == events + 5


async def test_a_bus_that_was_asked_before_the_log_grew_is_no_bus_that_lost_something(tmp_path: Path) -> None:
    async with at(tmp_path, [alerts.REACTIONS]) as here:
        await here.publish((RunStarted(), "x"))
        await here.level()
        searched, reactions = list[Entity](), here.node.reactions
        reactions._in_log = lambda entity: searched.append(entity) or []  # type: ignore[method-assign, func-returns-value]
        reactions.bus_held = (await here.node.bus.state())._replace(messages=0)
        assert await reactions._earlier_events(Entity("run", "x"), 0) == []
        assert searched == []
        await reactions._earlier_events(Entity("run", "x"), 1)  # which the bus counts, and does not give
        assert searched == [Entity("run", "x")]
