"""What it takes to invoke an agent: a call, an endpoint, and what every transport does with them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args
from urllib.parse import urlsplit

import msgspec

from ...schemas import AgentRegistered
from .errors import InvalidEndpoint

TransportName = Literal["nats", "rest", "rpc", "mcp", "file", "a2a"]

ENDPOINT_CHARACTERS_MAX = 4_096
# Of one answer, whatever it comes in. What becomes a result is bounded again, where it becomes an event.
ANSWER_BYTES_MAX = 1024 * 1024
REASON_CHARACTERS_MAX = 1_000


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One task as it travels to an agent: the same shape over every transport that sends JSON.

    `id` is the assignment's. It is the same when the task is tried again, so that an agent can tell what it has done.
    """

    id: str
    capability: str
    input: Any = None
    agent_id: str | None = None
    attempt: int = 1
    timeout_seconds: float | None = None
    traceparent: str | None = None


class Endpoint(NamedTuple):
    """Where an agent is reached: a transport, and an address as that transport has it. Made by `of`."""

    transport: TransportName
    address: str

    @classmethod
    def of(cls, transport: str, address: str) -> Endpoint:
        """The endpoint, if it can be one. Raises `InvalidEndpoint`.

        | transport | address |
        |---|---|
        | `nats` | the agent's id |
        | `rest` | an http or https URL |
        | `rpc` | a command line, started without a shell |
        | `mcp` | an http or https URL, or a command line |
        | `file` | an absolute folder |
        | `a2a` | the http or https URL of a JSON-RPC endpoint |
        """
        if transport not in get_args(TransportName):
            raise InvalidEndpoint(transport, address, f"the transports are {', '.join(get_args(TransportName))}")
        if fault := _fault(transport, address):
            raise InvalidEndpoint(transport, address, fault)
        return cls(transport, address)  # type: ignore[arg-type] # looked up above

    @property
    def is_url(self) -> bool:
        """Whether it is reached over HTTP."""
        return self.transport in ("rest", "mcp", "a2a") and _is_url(self.address)

    @property
    def command(self) -> list[str]:
        """The program and its arguments, of a command line."""
        return shlex.split(self.address)

    def __str__(self) -> str:
        return f"{self.transport} agent {self.address!r}"


class Transport(Protocol):
    """One way to one agent. It may be called by many at once; each call may be cancelled, and leaves nothing behind."""

    async def invoke(self, call: Call) -> Any:
        """What the agent makes of the task. Raises `TransportError`, within bounded time when it is cancelled."""

    async def check(self) -> None:
        """Whether it could be invoked now. Raises `TransportError`."""

    async def close(self) -> None:
        """Let go of everything: what is under way is lost, and no process is left."""


def endpoint_of(agent_id: str, registered: AgentRegistered) -> Endpoint:
    """Where an agent said it is reached; over NATS, unless it said otherwise. Raises `InvalidEndpoint`."""
    transport = registered.transport or "nats"
    return Endpoint.of(transport, agent_id if transport == "nats" else registered.endpoint or "")


def shortened(text: str) -> str:
    """What an agent said, as an error can carry it: one line, not too long, and nothing that commands a terminal."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(one if one.isprintable() else "\ufffd" for one in line[: REASON_CHARACTERS_MAX + 1])
    return line if len(line) <= REASON_CHARACTERS_MAX else f"{line[:REASON_CHARACTERS_MAX]}…"


def _fault(transport: str, address: str) -> str | None:
    if not address or len(address) > ENDPOINT_CHARACTERS_MAX or not address.isprintable():
        return f"it takes 1 to {ENDPOINT_CHARACTERS_MAX} printable characters"
    match transport:
        case "nats":
            return None
        case "file":
            return None if Path(address).is_absolute() else "it takes an absolute folder, as in /srv/tasks"
        case "rest" | "a2a":
            return _fault_of_url(address)
        case "mcp" if _is_url(address):
            return _fault_of_url(address)
        case _:
            return _fault_of_command(address)


def _is_url(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def _fault_of_url(address: str) -> str | None:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return str(error)
    if not _is_url(address) or not host:
        return "it takes a URL, as in http://127.0.0.1:9000/tasks"
    if parts.username is not None or parts.password is not None:
        return "a password in it would be in the log for ever; leave it out"
    return None


def _fault_of_command(address: str) -> str | None:
    try:
        words = shlex.split(address)
    except ValueError as error:
        return f"it takes a command line ({error})"
    return None if words and words[0] else "it takes a command line, as in `python linter.py`"
