"""An agent that is made with the official SDK of A2A, and served by it: well and badly behaved, as it is asked."""

from __future__ import annotations

import asyncio
import json

from a2a.helpers.proto_helpers import new_data_part, new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes.agent_card_routes import create_agent_card_routes
from a2a.server.routes.jsonrpc_routes import create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

LARGE = "x" * 1_100_000
NONSENSE = b"<html>Starting up ...</html>"


def card_at(url: str, *versions: str) -> AgentCard:
    """Its card, as the SDK has it."""
    return AgentCard(
        name="Official Echoer",
        description="Says what it hears.",
        version="7",
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version=version)
            for version in versions or ("1.0",)
        ],
        capabilities=AgentCapabilities(streaming=False),
        default_input_modes=["application/json", "text/plain"],
        default_output_modes=["application/json", "text/plain"],
        skills=[AgentSkill(id="echo", name="Echo", description="Says what it hears.", tags=["echo"])],
    )


class Echoer(AgentExecutor):
    """Does what a message's metadata says."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        message = context.message
        assert message is not None
        await event_queue.enqueue_event(context.current_task or new_task_from_user_message(message))
        updater = TaskUpdater(event_queue, context.task_id or "", context.context_id or "")
        await updater.start_work()
        (part,) = message.parts
        match MessageToDict(message.metadata).get("skill"):
            case "echo":
                given = part.text if part.HasField("text") else MessageToDict(part.data)
                await self._done(updater, new_text_part(given) if isinstance(given, str) else new_data_part(given))
            case "slow":
                await asyncio.sleep(0.3)
                await self._done(updater, new_text_part("at last"))
            case "fail":
                await updater.failed(updater.new_agent_message([new_text_part("the disk\nis full")]))
            case "ask":
                await updater.requires_input(updater.new_agent_message([new_text_part("which one?")]))
            case "hang":
                await asyncio.Event().wait()
            case "large":
                await self._done(updater, new_text_part(LARGE))
            case unknown:
                await updater.reject(updater.new_agent_message([new_text_part(f"no {unknown}")]))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        await TaskUpdater(event_queue, context.task_id or "", context.context_id or "").cancel()

    async def _done(self, updater: TaskUpdater, part: Part) -> None:
        await updater.add_artifact([part], name="result")
        await updater.complete()


class OfficialAgent:
    """The SDK's application on `/a2a`, and its card where clients look. What asks for nonsense isn't let through."""

    def __init__(self, *, is_old: bool = False) -> None:
        self.is_old = is_old
        self.url = ""
        self._app: Starlette | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if b'"nonsense"' in body:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": NONSENSE})
            return
        if self.is_old and b'"SendMessage"' in body:
            error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32601, "message": "Method not found"}}
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(error).encode()})
            return
        given = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return given.pop() if given else await receive()

        await self._application()(scope, again, send)

    def _application(self) -> Starlette:
        if self._app is None:
            card = card_at(f"{self.url}/a2a", *(("0.3",) if self.is_old else ()))
            handler = DefaultRequestHandler(agent_executor=Echoer(), task_store=InMemoryTaskStore(), agent_card=card)
            routes = create_jsonrpc_routes(handler, "/a2a", enable_v0_3_compat=True)
            self._app = Starlette(routes=[*routes, *create_agent_card_routes(card)])
        return self._app
