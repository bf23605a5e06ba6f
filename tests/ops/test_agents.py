"""Agents are found, registered, changed and struck off over HTTP, and what can't be is refused and leaves no trace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from rookery.bus import NatsBus
from rookery.handlers.fleet.beats import Beat, beat_subject
from rookery.ops.agents import TREE_DEPTH_MAX, planted
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.cli import agents
from rookery.ops.roster import DEPTH_MAX
from rookery.schemas import AgentRegistered, AssignmentCompleted, AssignmentStarted, Event, EventData, encode

from .conftest import Rookery


@pytest.fixture(scope="module")
def http(node: NodeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node.node.url, timeout=60, trust_env=False) as http:
        yield http


def register(http: httpx.Client, agent_id: str, **told: Any) -> dict[str, Any]:
    answer = http.post("/agents", json={"agent_id": agent_id, **told})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["agent_id"] for one in answer.json()["agents"]]


def look(http: httpx.Client, path: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/agents/{path}").json()
    return found


def tell(http: httpx.Client, subject: str, *facts: EventData, source: str = "/agents/x") -> None:
    events = [encode(Event.of(data, subject=subject, source=source)) for data in facts]
    answer = http.post("/events", content=b"\n".join(events), headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 202, answer.text


class TestRegistering:
    def test_whoever_registers_is_found_at_once(self, http: httpx.Client) -> None:
        told = {"role": "coder", "tier": "execution", "capabilities": ["reg.fix"], "metadata": {"host": "b"}}
        found = register(http, "reg-1", **told, description="Mends.", heartbeat_interval_seconds=3600)
        assert (found["state"], found["incarnation"], found["name"]) == ("alive", 1, "reg-1")
        assert {name: found[name] for name in told} == told
        assert http.get("/agents/reg-1").json()["description"] == "Mends."

    def test_a_name_that_is_taken_is_refused_unless_it_is_said_that_the_new_one_takes_its_place(
        self, http: httpx.Client
    ) -> None:
        register(http, "twice")
        refused = http.post("/agents", json={"agent_id": "twice", "role": "other"})
        assert (refused.status_code, refused.json()["error"]) == (409, "DuplicateName")
        assert http.get("/agents/twice").json()["role"] is None
        assert register(http, "twice", again=True)["incarnation"] == 2

    @pytest.mark.parametrize(
        ("told", "reason"),
        [
            ({}, "agent_id"),
            ({"agent_id": ""}, "$.agent_id"),
            ({"agent_id": "a\u0000b"}, "$.agent_id"),
            ({"agent_id": "x" * 257}, "$.agent_id"),
            ({"agent_id": "bad", "tier": "boss"}, "$.tier"),
            ({"agent_id": "bad", "transport": "pigeon"}, "$.transport"),
            ({"agent_id": "bad", "capabilities": "all"}, "$.capabilities"),
            ({"agent_id": "bad", "capabilities": [f"c{n}" for n in range(101)]}, "more than 100 capabilities"),
            ({"agent_id": "bad", "heartbeat_interval_seconds": -1}, "$.heartbeat_interval_seconds"),
            ({"agent_id": "bad", "heartbeat_interval_seconds": 0}, "heartbeat_interval_seconds"),
            ({"agent_id": "bad", "heartbeat_interval_seconds": 1e10}, "heartbeat_interval_seconds"),
            ({"agent_id": "bad", "colour": "red"}, "colour"),
            ({"agent_id": "bad", "parent_agent_id": "bad"}, "is a circle"),
            ({"agent_id": "bad", "parent_agent_id": "nobody"}, "no agent is called 'nobody'"),
            ({"agent_id": "bad", "transport": "rest", "endpoint": "gopher://x"}, "it takes a URL"),
        ],
    )
    def test_what_can_not_be_is_refused_and_leaves_no_trace(
        self, http: httpx.Client, told: dict[str, Any], reason: str
    ) -> None:
        answer = http.post("/agents", json=told)
        assert answer.status_code == 422, answer.text
        assert reason in answer.json()["detail"]
        assert http.get("/agents/bad").status_code == 404

    @pytest.mark.parametrize("wait", ["durable", "logged"])
    def test_who_does_not_wait_is_told_what_the_events_say(self, http: httpx.Client, wait: str) -> None:
        answer = http.post(f"/agents?wait={wait}", json={"agent_id": f"wait-{wait}", "role": "r"}).json()
        assert (answer["role"], answer["state"], answer["incarnation"]) == ("r", "alive", 1)


class TestChanging:
    def test_what_is_named_changes_and_the_rest_stays(self, http: httpx.Client) -> None:
        register(http, "change-1", role="coder", tier="system")
        answer = http.patch("/agents/change-1", json={"role": None, "capabilities": ["x.y"]})
        assert answer.status_code == 200
        found = answer.json()
        assert (found["role"], found["tier"], found["capabilities"]) == (None, "system", ["x.y"])
        assert found["incarnation"] == 1

    def test_a_circle_is_refused_however_long_it_is(self, http: httpx.Client) -> None:
        for n in range(4):
            register(http, f"chain-{n}", **({"parent_agent_id": f"chain-{n - 1}"} if n else {}))
        refused = http.patch("/agents/chain-0", json={"parent_agent_id": "chain-3"})
        assert refused.status_code == 422
        assert "chain-0 → chain-3 → chain-2 → chain-1 → chain-0 is a circle" in refused.json()["detail"]
        assert http.get("/agents/chain-0").json()["parent_agent_id"] is None

    def test_of_two_changes_at_once_that_would_make_a_circle_one_is_refused(self, http: httpx.Client) -> None:
        for n in range(6):
            register(http, f"race-{n}-a")
            register(http, f"race-{n}-b")
        changes = [(f"race-{n}-{one}", f"race-{n}-{other}") for n in range(6) for one, other in ("ab", "ba")]
        with ThreadPoolExecutor(len(changes)) as threads:
            answers = list(
                threads.map(lambda two: http.patch(f"/agents/{two[0]}", json={"parent_agent_id": two[1]}), changes)
            )
        statuses = [sorted(answer.status_code for answer in answers[n : n + 2]) for n in range(0, 12, 2)]
        assert statuses == [[200, 422]] * 6

    def test_no_more_than_some_stand_one_below_another(self, http: httpx.Client) -> None:
        entry = {"description": "", "role": "r", "capabilities": ["c"], "transport": "nats"}
        chain = [
            {**entry, "id": f"deep-{n}", "name": f"Deep {n}", **({"parent": f"deep-{n - 1}"} if n else {})}
            for n in range(DEPTH_MAX)
        ]
        http.post("/agents/catalogue", json={"name": "chain", "version": "1", "agents": chain}).raise_for_status()
        refused = http.post("/agents", json={"agent_id": "deeper", "parent_agent_id": f"deep-{DEPTH_MAX - 1}"})
        assert (refused.status_code, f"more than {DEPTH_MAX} agents" in refused.json()["detail"]) == (422, True)

    def test_an_endpoint_must_fit_the_transport_that_is_known(self, http: httpx.Client) -> None:
        register(http, "endpoint-1", transport="file", endpoint="/srv/tasks")
        assert http.patch("/agents/endpoint-1", json={"endpoint": "tasks"}).status_code == 422
        assert http.patch("/agents/endpoint-1", json={"endpoint": "/srv/other"}).status_code == 200

    def test_who_is_unknown_or_has_left_can_not_be_changed(self, http: httpx.Client) -> None:
        assert http.patch("/agents/nobody", json={"role": "r"}).json()["error"] == "UnknownAgent"
        assert http.delete("/agents/nobody").status_code == 404
        register(http, "left-1")
        assert http.delete("/agents/left-1?reason=done").json()["state"] == "unregistered"
        assert http.delete("/agents/left-1").status_code == 200
        assert http.patch("/agents/left-1", json={"role": "r"}).status_code == 409
        assert "left-1" not in ids(http.get("/agents?name=left-*"))
        assert ids(http.get("/agents?name=left-*&state=all")) == ["left-1"]


@pytest.fixture(scope="module")
def several(http: httpx.Client) -> None:
    """Agents to be found."""
    register(http, "find-boss", name="The Boss", role="boss", tier="coordinator")
    register(http, "find-a", role="coder", tier="execution", parent_agent_id="find-boss", capabilities=["f.x.fix"])
    register(http, "find-b", role="coder", tier="execution", capabilities=["f.x.fix", "f.y_z"])
    register(http, "find/c", capabilities=["f.yyz"])


@pytest.mark.usefixtures("several")
class TestFinding:
    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("name=find-*", ["find-a", "find-b", "find-boss"]),
            ("name=the boss", ["find-boss"]),
            ("name=find_a", []),
            ("name=find-*&role=coder", ["find-a", "find-b"]),
            ("name=find-*&tier=coordinator", ["find-boss"]),
            ("parent=find-boss", ["find-a"]),
            ("capability=f.x.fix", ["find-a", "find-b"]),
            ("capability=f.y*", ["find-b", "find/c"]),
            ("capability=f.y_z", ["find-b"]),
            ("name=find-*&state=expired,suspect", []),
            ("name=find-*&state=alive&limit=1", ["find-a"]),
        ],
    )
    def test_all_conditions_hold(self, http: httpx.Client, query: str, found: list[str]) -> None:
        assert ids(http.get(f"/agents?{query}")) == found

    def test_pages_lead_to_the_next(self, http: httpx.Client) -> None:
        first = http.get("/agents?name=find*&limit=3").json()
        second = http.get("/agents", params={"name": "find*", "limit": 3, "cursor": first["next"]}).json()
        assert [one["agent_id"] for one in first["agents"] + second["agents"]] == [
            "find-a",
            "find-b",
            "find-boss",
            "find/c",
        ]
        assert second["next"] is None

    def test_an_agent_is_found_whatever_it_is_called(self, http: httpx.Client) -> None:
        assert http.get("/agents/find/c").json()["agent_id"] == "find/c"
        assert http.get("/agents/find%2Fc").json()["agent_id"] == "find/c"

    @pytest.mark.parametrize("query", ["state=asleep", "limit=0", "limit=1e9", "colour=red"])
    def test_a_question_that_makes_no_sense_is_refused(self, http: httpx.Client, query: str) -> None:
        assert http.get(f"/agents?{query}").status_code == 422

    async def test_a_beat_is_told_though_the_log_has_none(self, http: httpx.Client, node: NodeProcess) -> None:
        register(http, "beat-1", heartbeat_interval_seconds=3600)
        async with await NatsBus.connect(node.node.nats_url) as bus:
            beat = Beat(time=datetime.now(UTC), incarnation=1, active_assignments=4)
            agent = await asyncio.to_thread(look, http, "beat-1")
            while agent["active_assignments"] != 4:
                await bus.send(beat_subject("beat-1"), msgspec.json.encode(beat))
                agent = await asyncio.to_thread(look, http, "beat-1")
        assert agent["last_seen_at"] > agent["registered_at"]
        past = await asyncio.to_thread(look, http, "beat-1?as_of=now")
        assert (past["active_assignments"], past["last_seen_at"]) == (None, past["registered_at"])

    def test_the_past_is_told_as_it_was(self, http: httpx.Client) -> None:
        register(http, "past-1", role="before")
        moment = http.get("/status").json()["events"]
        http.patch("/agents/past-1", json={"role": "after"})
        asked = {"as_of": f"local:{moment}"}
        assert http.get("/agents/past-1", params=asked).json()["role"] == "before"
        assert http.get("/agents", params={"name": "past-1", **asked}).json()["agents"][0]["role"] == "before"
        assert http.get("/agents/past-1").json()["role"] == "after"

    def test_work_is_counted_for_whoever_did_it(self, http: httpx.Client) -> None:
        register(http, "work-1")
        tell(http, "as-1", AssignmentStarted(agent_id="work-1"), AssignmentCompleted(agent_id="work-1", score=0.5))
        tell(http, "as-2", AssignmentStarted(agent_id="work-1"))
        stats = http.get("/agents/work-1").json()["stats"]
        assert (stats["begun"], stats["running"], stats["completed"], stats["success_rate"]) == (2, 1, 1, 1.0)
        assert (stats["mean_score"], stats["cost_usd"]) == (0.5, "0")
        (one,) = [one for one in http.get("/agents/stats").json()["agents"] if one["agent_id"] == "work-1"]
        assert (one["begun"], one["state"]) == (2, "alive")


class TestTheTree:
    def test_shows_everybody_at_their_place(self, http: httpx.Client) -> None:
        register(http, "tree-top", tier="coordinator")
        for name in ("tree-a", "tree-b"):
            register(http, name, parent_agent_id="tree-top")
        register(http, "tree-aa", parent_agent_id="tree-a")
        found = {one["agent_id"]: one for one in http.get("/agents/tree").json()["roots"]}
        first, second = found["tree-top"]["children"]
        assert (first["agent_id"], second["agent_id"]) == ("tree-a", "tree-b")
        assert [one["agent_id"] for one in first["children"]] == ["tree-aa"]
        http.delete("/agents/tree-a")
        found = {one["agent_id"]: one for one in http.get("/agents/tree").json()["roots"]}
        assert {"tree-top", "tree-aa"} <= found.keys()

    def test_a_circle_that_came_by_other_ways_is_shown_once(self, http: httpx.Client) -> None:
        for name, parent in (("ring-a", "ring-b"), ("ring-b", "ring-a"), ("ring-c", "ring-a")):
            tell(http, name, AgentRegistered(name=name, parent_agent_id=parent), source=f"/agents/{name}")
        rings = [one for one in http.get("/agents/tree").json()["roots"] if one["agent_id"].startswith("ring")]
        assert [(one["agent_id"], one["in_circle"]) for one in rings] == [("ring-a", True)]
        assert [one["agent_id"] for one in rings[0]["children"]] == ["ring-b", "ring-c"]

    def test_what_is_deeper_than_anybody_can_see_is_counted(self) -> None:
        depth = TREE_DEPTH_MAX + 5
        names = [f"n{n:04}" for n in range(depth)]
        rows = [
            dict.fromkeys(("name", "role", "tier"))
            | {"agent_id": name, "state": "alive", "parent_agent_id": names[n - 1] if n else None}
            for n, name in enumerate(names)
        ]
        tree = planted(rows)
        assert tree.agents == depth
        (branch,) = tree.roots
        for _ in range(TREE_DEPTH_MAX - 1):
            (branch,) = branch.children
        assert (branch.children, branch.cut) == ([], 5)


class TestTheCatalogue:
    def test_is_declared_once_and_says_what_registrations_leave_out(self, http: httpx.Client) -> None:
        entry = {
            "name": "Cat",
            "description": "Purrs.",
            "role": "cat",
            "capabilities": ["cat.purr"],
            "transport": "rpc",
        }
        agents = [{**entry, "id": "cat-b", "name": "B", "parent": "cat-a"}, {**entry, "id": "cat-a"}]
        catalogue = {"name": "cats", "version": "1", "agents": agents}
        loaded = http.post("/agents/catalogue", json=catalogue).json()
        assert loaded == {"catalogue": "cats", "agents": 2, "declared": 2, "unchanged": 0}
        assert http.post("/agents/catalogue", json=catalogue).json()["unchanged"] == 2
        found = http.get("/agents?capability=cat.purr").json()["agents"]
        assert [(one["agent_id"], one["state"], one["catalogue"]) for one in found] == [
            ("cat-a", "declared", "cats"),
            ("cat-b", "declared", "cats"),
        ]
        came = register(http, "cat-b", transport="nats")
        assert (came["state"], came["role"], came["parent_agent_id"], came["transport"]) == (
            "alive",
            "cat",
            "cat-a",
            "nats",
        )
        catalogue["agents"][0]["role"] = "tom"
        assert http.post("/agents/catalogue", json=catalogue).json()["declared"] == 1
        assert http.get("/agents/cat-b").json()["role"] == "tom"

    def test_one_that_contradicts_itself_is_refused_whole(self, http: httpx.Client) -> None:
        answer = http.post("/agents/catalogue", content=json.dumps({"name": "x", "version": "1", "agents": [{}]}))
        assert answer.status_code == 422
        assert "$.agents[0]" in answer.json()["detail"]


class TestOnTheCommandLine:
    def test_lists_go_over_pages_as_far_as_they_are_asked(
        self, http: httpx.Client, rookery: Rookery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for n in range(5):
            register(http, f"page-{n}")
        monkeypatch.setattr(agents, "PAGE", 2)
        found = rookery("agents", "list", "--name", "page-*", "--json").json
        assert [one["agent_id"] for one in found] == [f"page-{n}" for n in range(5)]
        assert len(rookery("agents", "list", "--name", "page-*", "--limit", 3, "--json").json) == 3
        assert rookery("agents", "list", "--name", "page-*", "--csv").out.count("\n") == 6
        assert rookery("agents", "list", "--name", "nobody").out.splitlines()[1:] == []

    def test_an_agent_is_shown_with_its_work(self, http: httpx.Client, rookery: Rookery) -> None:
        register(http, "shown", capabilities=["a", "b"])
        tell(http, "shown-as", AssignmentStarted(agent_id="shown"), AssignmentCompleted(agent_id="shown"))
        lines = dict(line.split(maxsplit=1) for line in rookery("agents", "show", "shown").out.splitlines())
        assert (lines["capabilities"], lines["success_rate"], lines["completed"]) == ("a, b", "100.0%", "1")
        assert "stats" not in lines
        assert rookery("agents", "show", "shown", "--json").json["stats"]["completed"] == 1

    def test_an_empty_text_takes_away_what_was_there(self, http: httpx.Client, rookery: Rookery) -> None:
        told = ["--role", "r", "--capability", "c", "--metadata", '{"a": 1}', "--most", 3]
        assert rookery("agents", "register", "emptied", *told, "--json").json["assignments_max"] == 3
        assert rookery("agents", "update", "emptied", "--role", "", "--capability", "", "--metadata", "").code == 0
        agent = http.get("/agents/emptied").json()
        assert (agent["role"], agent["capabilities"], agent["metadata"], agent["assignments_max"]) == (
            None,
            [],
            None,
            3,
        )

    @pytest.mark.parametrize(
        ("command", "code", "said"),
        [
            (["update", "x"], 2, "Say what is to change"),
            (["register", "x", "--metadata", "[1]"], 2, "not a JSON object"),
            (["register", "x", "--heartbeat", "-1"], 2, "--heartbeat"),
            (["show", "nobody"], 2, "no agent is called 'nobody'"),
            (["list", "--state", "asleep"], 2, "there are declared, alive"),
            (["list", "--json", "--csv"], 2, "exclude each other"),
            (["load", "/nowhere.json"], 1, "/nowhere.json"),
            (["import-card", "/nowhere.json"], 1, "/nowhere.json"),
        ],
    )
    def test_what_can_not_be_is_said(self, rookery: Rookery, command: list[str], code: int, said: str) -> None:
        done = rookery("agents", *command)
        assert (done.code, done.out) == (code, "")
        assert said in done.err

    def test_a_circle_is_marked_in_the_tree(self, http: httpx.Client, rookery: Rookery) -> None:
        for name, parent in (("loop-a", "loop-b"), ("loop-b", "loop-a")):
            tell(http, name, AgentRegistered(name=name, parent_agent_id=parent), source=f"/agents/{name}")
        lines = rookery("agents", "tree").out.splitlines()
        place = lines.index("loop-a [alive] (answers to itself)")
        assert lines[place + 1] == "└── loop-b [alive]"


class TestUnderTheOldPaths:
    def test_a_client_registers_and_does_so_again_when_it_starts_anew(self, http: httpx.Client) -> None:
        asked = {
            "name": "old-1",
            "type": "coder",
            "tier": "execution",
            "parent": "nobody-yet",
            "capabilities": ["old.fix"],
            "transport": "REST",
            "endpoint": "http://127.0.0.1:6101/run",
            "heartbeat_interval": 3600,
            "pid": 17,
        }
        first = http.post("/hobby/subagents/register", json=asked)
        assert first.status_code == 200, first.text
        assert first.json()["agent"]["status"] == "alive"
        assert http.post("/hobby/subagents/register", json=asked).json()["incarnation"] == 2
        agent = http.get("/agents/old-1").json()
        assert (agent["role"], agent["parent_agent_id"], agent["transport"]) == ("coder", "nobody-yet", "rest")
        assert (agent["metadata"], agent["heartbeat_interval_seconds"]) == ({"pid": 17}, 3600.0)

    def test_services_are_found_with_filters(self, http: httpx.Client) -> None:
        http.post("/hobby/subagents/register", json={"id": "old-2", "capabilities": ["old.find"]})
        found = http.get("/api/services?capability=old.find").json()
        assert [(one["id"], one["healthy"]) for one in found["services"]] == [("old-2", True)]
        assert found["total"] == 1

    def test_the_tree_and_the_statistics_name_them(self, http: httpx.Client) -> None:
        http.post("/hobby/subagents/register", json={"id": "old-top"})
        http.post("/hobby/subagents/register", json={"id": "old-leaf", "parent": "old-top"})
        tree = {one["id"]: one for one in http.get("/api/tree").json()["tree"]}
        assert [one["id"] for one in tree["old-top"]["children"]] == ["old-leaf"]
        tell(http, "old-as", AssignmentStarted(agent_id="old-leaf"), AssignmentCompleted(agent_id="old-leaf"))
        stats = http.get("/hobby/subagents/stats").json()
        assert stats["agents"]["old-leaf"]["completed_assignments"] == 1
        assert stats["total_agents"] >= stats["active_agents"] >= 2

    def test_whoever_leaves_is_gone(self, http: httpx.Client) -> None:
        http.post("/hobby/subagents/register", json={"id": "old-3"})
        gone = http.delete("/hobby/subagents/old-3")
        assert gone.json() == {"status": "unregistered", "agent_id": "old-3"}
        assert http.get("/api/services?name=old-3").json()["total"] == 0
        assert http.delete("/hobby/subagents/nobody").status_code == 404

    @pytest.mark.parametrize(
        ("asked", "named"),
        [
            ({"name": 5}, "`$.name`"),
            ({"service_id": 5, "name": "x"}, "`$.service_id`"),
            ({"id": "x", "skills": [1]}, "`$.skills[0]`"),
            ({"id": "x", "max_concurrent": 0}, "`$.max_concurrent`"),
            ({"id": "x", "heartbeat_interval": 1e9}, "heartbeat_interval:"),
            ({"id": "x", "parent": "x"}, "parent:"),
        ],
    )
    def test_what_is_wrong_is_named_as_it_was_sent(self, http: httpx.Client, asked: dict[str, Any], named: str) -> None:
        refused = http.post("/hobby/subagents/register", json=asked)
        assert refused.status_code == 422
        assert named in refused.json()["detail"]
        assert "agent_id" not in refused.json()["detail"]

    @pytest.mark.parametrize("asked", [{}, {"id": 7}, {"id": "x", "metadata": "y"}, {"id": "x", "tier": "boss"}])
    def test_what_can_not_be_is_refused(self, http: httpx.Client, asked: dict[str, Any]) -> None:
        assert http.post("/hobby/subagents/register", json=asked).status_code == 422
