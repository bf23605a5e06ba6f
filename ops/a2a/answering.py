"""Answering A2A clients in JSON-RPC: a message becomes an assignment, and a task is how an assignment stands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from ...bus import Entity
from ...handlers.assignments import AssignmentOver, UnknownAssignment
from ...handlers.dispatch import AgentNotAlive, NobodyCan
from ...schemas import AssignmentCreated, InvalidInput, RookeryError, decode, derived_id
from ...schemas.errors import InvalidEvent
from .. import assignments
from ..lanes import Lane
from ..node import Node
from .messages import OfTask, Send, Version, task

WAIT_SECONDS_MAX = 60.0
SOURCE = "/clients/a2a"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"

Asked = TypeVar("Asked")


class Fault(RookeryError):
    """A request that A2A has a code for: `reason` is that code in a word, as its clients know it."""

    def __init__(self, code: int, reason: str, text: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(text)


class Asking(NamedTuple):
    """What a request is answered with: the node, whom it is for (None: whoever can), and what they can do."""

    node: Node
    reads: Lane
    agent_id: str | None
    skills: Sequence[str]


class Request(msgspec.Struct, frozen=True):
    """A JSON-RPC 2.0 request."""

    jsonrpc: Literal["2.0"]
    method: str
    id: str | int | float | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")


async def answer(asking: Asking, payload: bytes, version_header: str | None = None) -> dict[str, Any]:
    """The response to a request, whatever is wrong with it. Raises what is wrong with the node alone."""
    request_id: str | int | float | None = None
    try:
        request = _request(payload)
        request_id = request.id
        version, method = _method(request, version_header)
        return {"jsonrpc": "2.0", "id": request_id, "result": await method(asking, request, version)}
    except Fault as fault:
        return _error(request_id, fault)
    except UnknownAssignment as error:
        return _error(request_id, Fault(-32001, "TASK_NOT_FOUND", str(error)))
    except AssignmentOver as error:
        return _error(request_id, Fault(-32002, "TASK_NOT_CANCELABLE", str(error)))
    except (InvalidInput, NobodyCan) as error:
        return _error(request_id, Fault(-32602, "INVALID_PARAMS", str(error)))
    except AgentNotAlive as error:
        return _error(request_id, Fault(-32603, "AGENT_NOT_ALIVE", str(error)))


async def _send(asking: Asking, request: Request, version: Version) -> Any:
    """The work begins once its record is durable; the answer comes when it is over, or has taken long enough."""
    asked = _params(request, Send)
    message = asked.message
    if message.task_id is not None:
        await assignments.standing(asking.node.bus, message.task_id)
        raise Fault(
            -32004, "UNSUPPORTED_OPERATION", "nothing can be added to what was given; send a message of its own"
        )
    if any(part.is_empty for part in message.parts):
        raise Fault(-32602, "INVALID_PARAMS", "a part of the message brings nothing: neither text nor data")
    task_id = _task_id(asking.agent_id, request)
    context_id = message.context_id or task_id
    wanted = assignments.Wanted(
        capability=_skill(asked.skill, asking),
        input=message.input,
        agent_id=asking.agent_id,
        best=asking.agent_id is None,
        id=task_id,
        source=SOURCE,
        metadata={"a2a": {"context_id": context_id, "message_id": message.message_id}},
    )
    standing = await assignments.give(asking.node, wanted, "durable")
    if asked.waits and not standing.is_over:
        standing = await assignments.until_over(asking.node, task_id, WAIT_SECONDS_MAX, asking.reads)
    told = task(standing, context_id, version)
    return {"task": told} if version == "1.0" else told


async def _get(asking: Asking, request: Request, version: Version) -> Any:
    task_id = _params(request, OfTask).id
    standing = await assignments.standing(asking.node.bus, task_id)
    return task(standing, await _context_of(asking.node, task_id), version)


async def _cancel(asking: Asking, request: Request, version: Version) -> Any:
    task_id = _params(request, OfTask).id
    standing = await assignments.cancel(asking.node, task_id, "called off by an A2A client", "durable")
    return task(standing, await _context_of(asking.node, task_id), version)


Method = Callable[[Asking, Request, Version], Awaitable[Any]]

METHODS: dict[str, tuple[Version, Method]] = {
    "SendMessage": ("1.0", _send),
    "GetTask": ("1.0", _get),
    "CancelTask": ("1.0", _cancel),
    "message/send": ("0.3", _send),
    "tasks/get": ("0.3", _get),
    "tasks/cancel": ("0.3", _cancel),
}
# What A2A has, and a node's cards say that it doesn't.
UNSUPPORTED = {
    "SendStreamingMessage": -32004,
    "SubscribeToTask": -32004,
    "ListTasks": -32004,
    "message/stream": -32004,
    "tasks/resubscribe": -32004,
    "GetExtendedAgentCard": -32007,
    "agent/getAuthenticatedExtendedCard": -32007,
    "CreateTaskPushNotificationConfig": -32003,
    "GetTaskPushNotificationConfig": -32003,
    "ListTaskPushNotificationConfigs": -32003,
    "DeleteTaskPushNotificationConfig": -32003,
    "tasks/pushNotificationConfig/set": -32003,
    "tasks/pushNotificationConfig/get": -32003,
    "tasks/pushNotificationConfig/list": -32003,
    "tasks/pushNotificationConfig/delete": -32003,
}


def _request(payload: bytes) -> Request:
    try:
        return msgspec.json.decode(payload, type=Request)
    except msgspec.ValidationError as error:
        raise Fault(-32600, "INVALID_REQUEST", f"not a JSON-RPC 2.0 request: {error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Fault(-32700, "JSON_PARSE_ERROR", f"not JSON: {error}") from None


def _method(request: Request, version_header: str | None) -> tuple[Version, Method]:
    if version_header and not version_header.startswith(("1.0", "0.3")):
        raise Fault(-32009, "VERSION_NOT_SUPPORTED", f"A2A {version_header} isn't spoken here; 1.0 and 0.3 are")
    if request.method in UNSUPPORTED:
        text = f"{request.method} isn't offered, as the agent's card says"
        raise Fault(UNSUPPORTED[request.method], "UNSUPPORTED_OPERATION", text)
    if request.method not in METHODS:
        raise Fault(-32601, "METHOD_NOT_FOUND", f"no method {request.method[:100]!r}; there are {', '.join(METHODS)}")
    return METHODS[request.method]


def _params(request: Request, kind: type[Asked]) -> Asked:
    try:
        return msgspec.json.decode(request.params, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Fault(-32602, "INVALID_PARAMS", str(error)) from None


def _skill(asked: Any, asking: Asking) -> str:
    """What is to be done: what the message says, or else the first skill of the agent's card, or the only one."""
    skills = asking.skills
    if asked is None and skills and (asking.agent_id is not None or len(skills) == 1):
        return skills[0]
    if isinstance(asked, str) and asked and (asking.agent_id is None or asked in skills):
        return asked
    what = "say what is to be done" if asked is None else f"{asked!r} is no skill of it"
    listed = ", ".join(skills[:20]) or "none at present"
    raise Fault(-32602, "INVALID_PARAMS", f"{what}: `skill` in the message's metadata is one of its skills ({listed})")


def _task_id(agent_id: str | None, request: Request) -> str:
    """The same for the same message to the same agent, so that sending it again after a failure does it once.

    What a message says is part of it: clients that number their messages from 1 are not taken for each other.
    """
    message = msgspec.json.decode(request.params)["message"]
    return derived_id("a2a", agent_id or "", msgspec.json.encode(message, order="deterministic").decode())


async def _context_of(node: Node, task_id: str) -> str:
    """The conversation that a task was given in; one of its own, unless a client said otherwise."""
    for delivery in (await node.bus.history(Entity("assignment", task_id))).deliveries:
        try:
            data = decode(delivery.payload).payload()
        except InvalidEvent:
            continue
        if isinstance(data, AssignmentCreated):
            told = (data.metadata or {}).get("a2a")
            context = told.get("context_id") if isinstance(told, dict) else None
            return context if isinstance(context, str) else task_id
    return task_id


def _error(request_id: str | float | None, fault: Fault) -> dict[str, Any]:
    detail = {"@type": ERROR_INFO, "reason": fault.reason, "domain": "a2a-protocol.org"}
    error = {"code": fault.code, "message": str(fault), "data": [detail]}
    return {"jsonrpc": "2.0", "id": request_id, "error": error}
