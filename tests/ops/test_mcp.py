"""Rookery as an MCP server: the official client asks a running node over stdio and over HTTP, and gets the same.

docs/howto/mcp.md: its program does what the page says, and its table has every tool.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from mcp import Client, MCPError, StdioServerParameters
from rookery import Agent, Task
from rookery.bus import NatsBus
from rookery.ops.api import mcp as route
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.mcp.node_api import NodeApi
from rookery.ops.mcp.server import server_of
from rookery.ops.mcp.tools import TOOLS

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "howto" / "mcp.md").read_text()


def stdio(*arguments: str) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=["-m", "rookery.ops.cli", "mcp", *arguments])


@asynccontextmanager
async def asking(url: str, **options: Any) -> AsyncIterator[Client]:
    """The official client and the server in this process, over a node's API."""
    async with NodeApi.at(url) as api, Client(server_of(api, **options)) as client:
        yield client


async def told(client: Client, tool: str, **arguments: Any) -> Any:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    return answer.structured_content


async def complaint(client: Client, tool: str, **arguments: Any) -> str:
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    return answer.content[0].text


@pytest.mark.parametrize(("way", "mode"), [("stdio", "legacy"), ("http", "legacy"), ("http", "auto")])
async def test_the_official_client_lists_asks_and_gives_work(node: NodeProcess, way: str, mode: str) -> None:
    """As assistants of before 2026 speak, which open a session first, and as those do that need none."""
    url = node.node.url
    async with Client(stdio("--url", url) if way == "stdio" else f"{url}/mcp", mode=mode) as client:
        assert client.server_info
        assert client.server_info.name == "rookery"
        await check_everyday(client, node)


async def check_everyday(mcp: Client, node: NodeProcess) -> None:
    assert [tool.name for tool in (await mcp.list_tools()).tools] == [tool.name for tool in TOOLS]
    agent = Agent(f"adder-{id(mcp)}", ["add"])

    @agent.on("add")
    async def add(task: Task) -> int:
        return sum(task.input)

    async with await NatsBus.connect(node.node.nats_url) as bus, agent.serving(bus):
        given = await told(mcp, "assign", capability="add", input=[1, 2], agent_id=agent.id)
        done = await told(mcp, "get_assignment", assignment_id=given["assignment_id"], wait_seconds=30)
    assert (done["status"], done["result"], done["agent_id"]) == ("completed", 3, agent.id)
    rows = (await told(mcp, "query_read_model", name="assignments", filters={"agent_id": agent.id}))["rows"]
    assert [row["assignment_id"] for row in rows] == [given["assignment_id"]]
    resource = await mcp.read_resource("rookery://models/assignments")
    assert given["assignment_id"] in resource.contents[0].text


async def test_what_is_wrong_is_told_to_the_model_with_what_to_do(node: NodeProcess) -> None:
    async with asking(node.node.url) as client:
        assert "did you mean 'runs'?" in await complaint(client, "query_read_model", name="run")
        assert "did you mean 'limit'?" in await complaint(client, "sql", sql="select 1", limitt=3)
        assert "no_such_table" in await complaint(client, "sql", sql="select * from no_such_table")
        assert "read" in await complaint(client, "sql", sql="select * from read_csv('/etc/passwd')")
        assert "there are status" in await complaint(client, "launch_rockets")
        assert "no assignment is called 'as-0'" in await complaint(client, "get_assignment", assignment_id="as-0")
        assert "did you mean 'run.started'?" in await complaint(client, "describe_event_type", type="run.start")
        refused = await complaint(client, "publish_event", type="run.started", subject="r", data={"agent_id": 7})
        assert "data.agent_id" in refused
        with pytest.raises(MCPError, match="rookery://models/NAME"):
            await client.read_resource("rookery://secrets")


async def test_an_answer_that_no_model_could_read_is_cut_short_with_advice(node: NodeProcess) -> None:
    async with asking(node.node.url) as client:
        much = "select repeat('x', 1000000) as x"
        assert "ask for fewer rows" in await complaint(client, "sql", sql=much)


async def test_where_no_node_runs_each_tool_says_how_to_start_one() -> None:
    async with asking("http://127.0.0.1:9") as client:
        assert "rookery up" in await complaint(client, "status")
        assert [one.name for one in (await client.list_resources()).resources] == ["events"]


async def test_facts_are_published_and_read_back(node: NodeProcess) -> None:
    async with asking(node.node.url) as client:
        shape = await told(client, "describe_event_type", type="insight.recorded")
        assert "text" in shape["properties"]["data"]["required"]
        fact = {"kind": "insight", "text": "tests first"}
        sent = await told(client, "publish_event", type="insight.recorded", subject="i-1", data=fact, id="mcp-1")
        again = await told(client, "publish_event", type="insight.recorded", subject="i-1", data=fact, id="mcp-1")
        assert (sent["new"], again["new"], again["duplicates"]) == (1, 0, 1)
        found = await told(client, "recent_events", types=["insight.recorded"], last=1_000)
        assert found["events"][-1]["data"]["text"] == "tests first"
        later = await told(client, "recent_events", types=["insight.recorded"], after=found["position"])
        assert later["events"] == []
        assert later["position"] == found["position"]


async def test_read_only_has_no_tool_that_changes_anything(node: NodeProcess) -> None:
    async with asking(node.node.url, read_only=True) as client:
        tools = (await client.list_tools()).tools
        assert {"assign", "publish_event"}.isdisjoint({tool.name for tool in tools})
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
        assert "there is no tool 'assign'" in await complaint(client, "assign", capability="add")


def test_every_tool_says_what_it_does_and_takes_what_its_schema_says() -> None:
    for tool in TOOLS:
        assert len(tool.description) > 40
        schema = tool.input_schema
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False


async def test_pages_of_other_sites_are_refused_and_get_has_no_stream(node: NodeProcess) -> None:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"accept": "application/json, text/event-stream"}
    async with httpx.AsyncClient(base_url=node.node.url) as http:
        assert (await http.post("/mcp", json=asked, headers=accept)).status_code == 200
        foreign = await http.post("/mcp", json=asked, headers=accept | {"origin": "http://evil.example"})
        assert foreign.status_code == 403
        assert (await http.post("/mcp", json=asked, headers=accept | {"host": "evil.example"})).status_code == 421
        assert (await http.get("/mcp", headers={"accept": "text/event-stream"})).status_code == 405


async def test_without_the_sdk_the_route_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "MODULE", "..mcp.not_there")
    served = route.McpRoute(lambda *_: None, "127.0.0.1")  # type: ignore[arg-type] # never asked
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=served), base_url="http://localhost") as http:
        answer = await http.post("/mcp")
    assert answer.status_code == 501
    assert "pip install 'rookery[mcp]'" in answer.json()["detail"]


def test_without_the_sdk_the_command_says_what_to_install() -> None:
    program = "import sys; sys.modules['mcp'] = None; from rookery.ops.cli import main; sys.exit(main(['mcp']))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert "pip install 'rookery[mcp]'" in ran.stderr


async def test_many_ask_at_once(node: NodeProcess) -> None:
    async with Client(f"{node.node.url}/mcp") as client:
        asked = [told(client, "sql", sql=f"select {n} as n") for n in range(20)]
        assert [found["rows"] for found in await asyncio.gather(*asked)] == [[{"n": n}] for n in range(20)]


async def test_agents_are_registered_found_and_struck_off(node: NodeProcess) -> None:
    async with asking(node.node.url) as client:
        await told(client, "register_agent", agent_id="tester", capabilities=["test.run"], role="tester")
        assert "is registered and alive" in await complaint(
            client, "register_agent", agent_id="tester", capabilities=["test.run"]
        )
        found = await told(client, "list_agents", capability="test.*")
        assert [agent["agent_id"] for agent in found["agents"]] == ["tester"]
        assert (await told(client, "get_agent", agent_id="tester"))["role"] == "tester"
        await told(client, "unregister_agent", agent_id="tester", reason="the tests are done")
        assert (await told(client, "list_agents", capability="test.*"))["agents"] == []
        assert (await told(client, "get_agent", agent_id="tester"))["state"] == "unregistered"


def test_the_page_s_table_has_every_tool_and_says_which_change_something() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .*? \|(?: (yes) )?", PAGE, re.MULTILINE)
    assert rows == [(tool.name, "yes" if tool.changes else "") for tool in TOOLS]


async def test_the_page_s_program_prints_what_the_page_says(node: NodeProcess) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    agent = Agent("adder", ["add"])

    @agent.on("add")
    async def add(task: Task) -> int:
        return sum(task.input)

    asked = program.replace("http://127.0.0.1:8800", node.node.url)
    async with await NatsBus.connect(node.node.nats_url) as bus, agent.serving(bus):
        ran = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", asked], capture_output=True, text=True, timeout=60
        )
    assert ran.stderr == ""
    done, models, refused = ran.stdout.splitlines()
    assert done == "completed 3"
    assert models.startswith("['")
    assert f"`{refused}`" in PAGE
