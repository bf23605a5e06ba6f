"""Clients of A2A find the colony and its agents, have work done by them, and agents of elsewhere are taken in.

docs/howto/a2a.md: its program works, and what it lists of the liveness extension is what cards have.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.client import Client as SdkClient
from a2a.extensions.common import find_extension_by_uri
from a2a.helpers.proto_helpers import new_data_part, new_text_part
from a2a.types import CancelTaskRequest, GetTaskRequest, Message, Role, SendMessageRequest, Task, TaskState
from a2a.utils.errors import InternalError, InvalidParamsError, TaskNotCancelableError, TaskNotFoundError
from a2a.utils.proto_utils import validate_proto_required_fields
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from rookery import Agent
from rookery import Task as Given
from rookery.bus import NatsBus
from rookery.handlers.a2a import LIVENESS, Liveness
from rookery.ops import assignments
from rookery.ops.a2a import CardImport, registration_of
from rookery.ops.a2a.importing import id_of
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.data_folder import DataFolder
from rookery.ops.lanes import Lane
from rookery.ops.node import running_node
from rookery.ops.roster import Roster
from rookery.ops.settings import Settings
from rookery.schemas import AgentStateChanged, Event, encode, new_id

from ..handlers.transports.conftest import served
from ..handlers.transports.official_a2a_agent import OfficialAgent
from .conftest import Rookery

SECONDS_MAX = 30.0
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "howto" / "a2a.md").read_text()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that takes cards of this machine, under one of its names."""
    with node_process(tmp_path_factory.mktemp("node"), "--card-hosts=127.0.0.1") as running:
        yield running


@pytest.fixture(scope="module")
def url(node: NodeProcess) -> str:
    return node.node.url


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=SECONDS_MAX, trust_env=False) as http:
        yield http


@pytest.fixture
async def coder(node: NodeProcess) -> AsyncIterator[str]:
    """An agent of the kit that counts letters, and fails at nothing but `fail`."""
    agent = Agent("a2a-coder", ["a2a.count", "a2a.fail"], heartbeat_seconds=60, retry_seconds=0, attempts_max=1)

    @agent.on("a2a.count")
    async def count(task: Given) -> Any:
        return {"letters": len(task.input)} if isinstance(task.input, str) else {"given": task.input}

    @agent.on("a2a.fail")
    async def fail(task: Given) -> None:
        raise RuntimeError("the disk is full")

    async with await NatsBus.connect(node.node.nats_url) as bus, agent.serving(bus):
        yield agent.id


async def client_of(http: httpx.AsyncClient, url: str, path: str | None = None) -> SdkClient:
    card = await A2ACardResolver(http, url).get_agent_card(relative_card_path=path)
    return ClientFactory(ClientConfig(httpx_client=http)).create(card)


def message(*parts: Any, **metadata: Any) -> SendMessageRequest:
    told = Struct()
    told.update(metadata)
    return SendMessageRequest(
        message=Message(message_id=new_id(), role=Role.ROLE_USER, parts=list(parts), metadata=told, context_id="talk-1")
    )


async def sent(client: SdkClient, request: SendMessageRequest) -> Task:
    (answer,) = [event async for event in client.send_message(request)]
    return answer.task


async def sent_until_refused(client: SdkClient) -> None:
    """Who gives work out may hear of a death a moment after it is recorded."""
    while True:
        request = message(new_text_part("x"))
        request.configuration.return_immediately = True
        await sent(client, request)


class TestCards:
    async def test_the_official_client_resolves_the_colonys_card(
        self, http: httpx.AsyncClient, url: str, coder: str
    ) -> None:
        card = await A2ACardResolver(http, url).get_agent_card()
        while not card.skills:  # the read models are a moment behind
            card = await A2ACardResolver(http, url).get_agent_card()
        validate_proto_required_fields(card)
        assert card.supported_interfaces[0].url == f"{url}/a2a"
        assert {"a2a.count", "a2a.fail"} <= {skill.id for skill in card.skills}

    async def test_an_agents_card_says_whether_it_is_alive(self, http: httpx.AsyncClient, url: str, coder: str) -> None:
        path = f"agents/{coder}/agent-card.json"
        card = await A2ACardResolver(http, url).get_agent_card(relative_card_path=path)
        validate_proto_required_fields(card)
        extension = find_extension_by_uri(card, LIVENESS)
        assert extension is not None
        told = MessageToDict(extension.params)
        assert (told["state"], told["heartbeatIntervalSeconds"]) == ("alive", 60.0)
        assert told["incarnation"] >= 1
        assert told["lastSeenAt"] <= told["asOf"]

    async def test_who_is_unknown_or_has_left_has_no_card(self, http: httpx.AsyncClient, url: str) -> None:
        assert (await http.get(f"{url}/agents/nobody/agent-card.json")).status_code == 404
        await http.post(f"{url}/agents", json={"agent_id": "gone"})
        assert (await http.get(f"{url}/agents/gone/agent-card.json")).status_code == 200
        await http.delete(f"{url}/agents/gone")
        assert (await http.get(f"{url}/agents/gone/agent-card.json")).status_code == 404


class TestMessages:
    async def test_a_message_to_an_agent_is_done_and_its_result_comes_back(
        self, http: httpx.AsyncClient, url: str, coder: str
    ) -> None:
        client = await client_of(http, url, f"agents/{coder}/agent-card.json")
        done = await sent(client, message(new_text_part("four")))
        assert (done.status.state, done.context_id) == (TaskState.TASK_STATE_COMPLETED, "talk-1")
        ((part,),) = [artifact.parts for artifact in done.artifacts]
        assert MessageToDict(part.data) == {"letters": 4}
        again = await client.get_task(GetTaskRequest(id=done.id))
        assert again == done
        assigned = (await http.get(f"{url}/assignments/{done.id}")).json()
        assert (assigned["agent_id"], assigned["capability"]) == (coder, "a2a.count")

    async def test_a_message_to_the_colony_goes_to_who_has_the_skill(
        self, http: httpx.AsyncClient, url: str, coder: str
    ) -> None:
        client = await client_of(http, url)
        done = await sent(client, message(new_data_part({"a": 1}), new_text_part("x"), skill="a2a.count"))
        ((part,),) = [artifact.parts for artifact in done.artifacts]
        assert MessageToDict(part.data) == {"given": [{"a": 1.0}, "x"]}
        assert MessageToDict(done.metadata)["agentId"] == coder

    async def test_a_failure_is_told_with_its_reason(self, http: httpx.AsyncClient, url: str, coder: str) -> None:
        client = await client_of(http, url, f"agents/{coder}/agent-card.json")
        failed = await sent(client, message(new_text_part("x"), skill="a2a.fail"))
        assert failed.status.state == TaskState.TASK_STATE_FAILED
        assert "the disk is full" in failed.status.message.parts[0].text

    async def test_the_same_message_is_done_once(self, http: httpx.AsyncClient, url: str, coder: str) -> None:
        client = await client_of(http, url, f"agents/{coder}/agent-card.json")
        request = message(new_text_part("once"))
        first, second = await sent(client, request), await sent(client, request)
        assert first.id == second.id
        request.message.parts[0].text = "twice"
        assert (await sent(client, request)).id != first.id

    async def test_who_does_not_wait_is_told_how_it_stands_and_can_call_it_off(
        self, http: httpx.AsyncClient, url: str
    ) -> None:
        await http.post(f"{url}/agents", json={"agent_id": "absent", "capabilities": ["a2a.wait"]})
        client = await client_of(http, url, "agents/absent/agent-card.json")
        request = message(new_text_part("x"))
        request.configuration.return_immediately = True
        waiting = await sent(client, request)
        assert waiting.status.state == TaskState.TASK_STATE_SUBMITTED
        called_off = await client.cancel_task(CancelTaskRequest(id=waiting.id))
        assert (called_off.status.state, called_off.context_id) == (TaskState.TASK_STATE_CANCELED, "talk-1")

    async def test_what_is_over_can_not_be_called_off(self, http: httpx.AsyncClient, url: str, coder: str) -> None:
        client = await client_of(http, url, f"agents/{coder}/agent-card.json")
        done = await sent(client, message(new_text_part("x")))
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(CancelTaskRequest(id=done.id))

    async def test_what_can_not_be_is_refused_in_a2as_words(
        self, http: httpx.AsyncClient, url: str, coder: str
    ) -> None:
        client = await client_of(http, url, f"agents/{coder}/agent-card.json")
        with pytest.raises(TaskNotFoundError):
            await client.get_task(GetTaskRequest(id="nobody"))
        with pytest.raises(InvalidParamsError, match=r"a2a\.count, a2a\.fail"):
            await sent(client, message(new_text_part("x"), skill="fly"))

    async def test_who_is_dead_or_nobody_is_given_nothing(self, http: httpx.AsyncClient, url: str) -> None:
        with pytest.raises(InvalidParamsError, match=r"no agent that is alive has the capability 'a2a\.fly'"):
            await sent(await client_of(http, url), message(new_text_part("x"), skill="a2a.fly"))
        await http.post(f"{url}/agents", json={"agent_id": "mortal", "capabilities": ["a2a.die"]})
        client = await client_of(http, url, "agents/mortal/agent-card.json")
        changed = AgentStateChanged(state="expired", incarnation=1)
        event = Event.of(changed, subject="mortal", source="/nodes/local")
        told = await http.post(f"{url}/events", content=encode(event))
        assert told.status_code == 202, told.text
        with pytest.raises(InternalError, match="agent 'mortal' is expired"):
            await sent_until_refused(client)

    async def test_a_client_of_the_version_before_is_answered_in_its_words(
        self, http: httpx.AsyncClient, url: str, coder: str
    ) -> None:
        said = {"kind": "message", "messageId": new_id(), "role": "user", "parts": [{"kind": "text", "text": "four"}]}
        asked = {"jsonrpc": "2.0", "id": 7, "method": "message/send", "params": {"message": said}}
        answer = (await http.post(f"{url}/agents/{coder}/a2a", json=asked)).json()
        assert answer["id"] == 7
        task = answer["result"]
        assert (task["kind"], task["status"]["state"]) == ("task", "completed")
        assert task["artifacts"][0]["parts"] == [{"kind": "data", "data": {"letters": 4}}]

    @pytest.mark.parametrize(
        ("body", "headers", "code"),
        [
            (b"{", {}, -32700),
            (b"[]", {}, -32600),
            (b'{"jsonrpc": "1.0", "method": "GetTask"}', {}, -32600),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "Fly"}', {}, -32601),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {}}', {}, -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": []}', {}, -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": 7}}', {}, -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage"}', {}, -32004),
            (
                b'{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "x"}}',
                {"a2a-version": "2.0"},
                -32009,
            ),
        ],
    )
    async def test_a_request_that_is_none_gets_the_code_that_says_so(
        self, http: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str], code: int
    ) -> None:
        answer = await http.post(f"{url}/a2a", content=body, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["error"]["code"] == code


class TestThePage:
    async def test_its_program_has_an_agent_count_letters(self, node: NodeProcess, url: str) -> None:
        agent = Agent("counter", ["letters.count"])

        @agent.on("letters.count")
        async def count(task: Given) -> str:
            return f"{len(task.input)} letters"

        (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        async with await NatsBus.connect(node.node.nats_url) as bus, agent.serving(bus):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", program.replace("http://127.0.0.1:8800", url)),
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "NO_PROXY": "*"},
            )
            printed, _ = await process.communicate()
        assert printed.decode() == "4 letters\n"

    def test_it_lists_the_fields_of_the_extension(self) -> None:
        assert f"`{LIVENESS}`" in PAGE
        (table,) = re.findall(r"Its `params` are:\n\n(.*?)\n\n", PAGE, re.DOTALL)
        listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
        assert set(listed) == {field.encode_name for field in msgspec.structs.fields(Liveness)}


@pytest.fixture
async def official() -> AsyncIterator[OfficialAgent]:
    """An agent of elsewhere, made with the official SDK."""
    agent = OfficialAgent()
    async with served(agent) as agent.url:
        yield agent


class TestAgentsOfElsewhere:
    async def test_an_agent_is_registered_as_its_card_says(
        self, http: httpx.AsyncClient, url: str, official: OfficialAgent
    ) -> None:
        answer = await http.post(f"{url}/agents/cards", json={"url": official.url})
        assert answer.status_code == 201, answer.text
        agent = answer.json()
        assert (agent["agent_id"], agent["name"], agent["version"]) == ("official-echoer", "Official Echoer", "7")
        assert (agent["transport"], agent["endpoint"]) == ("a2a", f"{official.url}/a2a")
        assert agent["capabilities"] == ["echo"]
        assert agent["metadata"]["a2a"]["protocol_version"] == "1.0"
        again = await http.post(f"{url}/agents/cards", json={"url": official.url})
        assert again.status_code == 409
        renewed = {"url": official.url, "again": True, "agent_id": "official-echoer"}
        assert (await http.post(f"{url}/agents/cards", json=renewed)).json()["incarnation"] == 2

    async def test_a_card_that_lies_registers_nobody(
        self, http: httpx.AsyncClient, url: str, official: OfficialAgent
    ) -> None:
        card = (await http.get(f"{official.url}/.well-known/agent-card.json")).json()
        honest = card["supportedInterfaces"][0]
        for change in ({"url": f"{official.url}/nothing"}, {"url": honest["url"].replace("127.0.0.1", "localhost")}):
            lying = card | {"name": "Liar", "supportedInterfaces": [honest | change]}
            answer = await http.post(f"{url}/agents/cards", json={"card": lying})
            assert (answer.status_code, answer.json()["error"]) == (422, "CardRefused"), answer.text
        wrong = await http.post(f"{url}/agents/cards", json={"card": card | {"skills": "all"}})
        assert (wrong.status_code, wrong.json()["error"]) == (422, "InvalidCard")
        assert (await http.get(f"{url}/agents/liar")).status_code == 404

    @pytest.mark.parametrize("asked", [{}, {"url": "http://127.0.0.1", "card": {}}, {"url": "ftp://x"}, {"link": "x"}])
    async def test_what_is_no_request_for_one_card_is_refused(
        self, http: httpx.AsyncClient, url: str, asked: dict[str, Any]
    ) -> None:
        assert (await http.post(f"{url}/agents/cards", json=asked)).status_code == 422

    async def test_where_nothing_answers_it_is_said(self, http: httpx.AsyncClient, url: str) -> None:
        answer = await http.post(f"{url}/agents/cards", json={"url": "http://127.0.0.1:1"})
        assert (answer.status_code, answer.json()["error"]) == (424, "CardUnreachable")

    async def test_a_colony_can_take_in_another_by_its_own_card(self, http: httpx.AsyncClient, url: str) -> None:
        answer = await http.post(f"{url}/agents/cards", json={"url": url, "agent_id": "ourselves"})
        assert answer.status_code == 201, answer.text

    async def test_the_command_line_takes_urls_and_files(
        self, http: httpx.AsyncClient, official: OfficialAgent, rookery: Rookery, tmp_path: Any
    ) -> None:
        done = await asyncio.to_thread(rookery, "agents", "import-card", official.url, "--id", "by-url")
        assert (done.code, done.out) == (0, "by-url is registered: Official Echoer, 1 skill\n"), done.err
        card = (await http.get(f"{official.url}/.well-known/agent-card.json")).json()
        file = tmp_path / "card.json"
        file.write_text(json.dumps(card))
        done = await asyncio.to_thread(rookery, "agents", "import-card", file, "--id", "by-file", "--json")
        assert json.loads(done.out)["agent_id"] == "by-file"
        refused = await asyncio.to_thread(rookery, "agents", "import-card", f"{official.url}/nothing")
        assert refused.code == 2
        assert "it answers 404" in refused.err


async def test_an_agent_that_was_taken_in_by_its_card_is_given_work(official: OfficialAgent, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, port=0, nats_port=0, bridges=(f"{official.url}/*",))
    asked = CardImport(url=official.url)
    with DataFolder(tmp_path) as folder:
        async with running_node(folder, settings) as node:
            await Roster(node).register(await registration_of(asked, allowed={"127.0.0.1"}))
            given = await assignments.give(node, assignments.Wanted(capability="echo", input="hello"))
            done = await assignments.until_over(node, given.assignment_id, SECONDS_MAX, Lane("reads", 1, 1))
    assert (done.status, done.result, done.agent_id) == ("completed", "hello", "official-echoer")


@pytest.mark.parametrize(
    ("name", "id"),
    [("Official Echoer", "official-echoer"), ("  Zwölf, Boxkämpfer! ", "zwolf-boxkampfer"), ("v1.2_x", "v1.2_x")],
)
def test_an_id_is_made_of_a_name(name: str, id: str) -> None:
    class Card:
        def __init__(self) -> None:
            self.name = name

    assert id_of(Card()) == id  # type: ignore[arg-type] # only its name counts
