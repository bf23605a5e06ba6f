"""Endpoints: what can be one is known before anything is started; and how many ways are open is bounded."""

from __future__ import annotations

import pytest
from rookery.bus import Bus
from rookery.handlers.transports import (
    Endpoint,
    InvalidEndpoint,
    NotInstalled,
    TooManyOpen,
    Transports,
    endpoint_of,
)
from rookery.schemas import AgentRegistered

from .conftest import program
from .test_contract import call
from .test_rpc import pid_of


@pytest.mark.parametrize(
    ("transport", "address", "fault"),
    [
        ("carrier pigeon", "loft 3", "the transports are nats, rest"),
        ("rest", "", "printable"),
        ("rest", "ftp://example.com", "takes a URL"),
        ("rest", "http://", "takes a URL"),
        ("rest", "http://[::1", "Invalid IPv6"),
        ("rest", "http://a:99999/", "[Pp]ort"),
        ("rest", "https://me:secret@example.com/", "in the log for ever"),
        ("mcp", "https://me@example.com/mcp", "in the log for ever"),
        ("rpc", "python 'linter.py", "No closing quotation"),
        ("rpc", "   ", "command line"),
        ("rpc", "a\nb", "printable"),
        ("file", "tasks", "absolute folder"),
        ("rest", "http://example.com/" + "x" * 5000, "4096"),
    ],
)
def test_what_can_be_no_endpoint_says_why(transport: str, address: str, fault: str) -> None:
    with pytest.raises(InvalidEndpoint, match=fault):
        Endpoint.of(transport, address)


def test_an_agent_is_reached_as_it_said() -> None:
    rest = AgentRegistered(name="r", transport="rest", endpoint="http://127.0.0.1:9000/tasks")
    assert endpoint_of("r", rest) == Endpoint.of("rest", "http://127.0.0.1:9000/tasks")
    assert endpoint_of("k", AgentRegistered(name="k")) == Endpoint.of("nats", "k")
    with pytest.raises(InvalidEndpoint):
        endpoint_of("r", AgentRegistered(name="r", transport="rpc"))


async def test_the_way_that_rested_longest_makes_room(memory_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.handlers.transports.invoking.OPEN_MAX", 2)
    one, two, three = (Endpoint.of("rpc", program("rpc_agent", str(n))) for n in range(3))
    async with Transports(memory_bus) as transports:
        pids = [await pid_of(transports, endpoint) for endpoint in (one, two)]
        assert await pid_of(transports, one) == pids[0]
        await pid_of(transports, three)
        assert await pid_of(transports, one) == pids[0]
        assert await pid_of(transports, two) != pids[1]


async def test_where_every_way_is_in_use_no_more_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.handlers.transports.invoking.OPEN_MAX", 0)
    async with Transports() as transports:
        with pytest.raises(TooManyOpen):
            await transports.invoke(Endpoint.of("rpc", "true"), call("echo"))


async def test_without_a_bus_nobody_on_it_is_reached() -> None:
    async with Transports() as transports:
        with pytest.raises(NotInstalled):
            await transports.invoke(Endpoint.of("nats", "coder-7"), call("echo"))


async def test_without_the_sdk_mcp_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.handlers.transports.invoking.MCP_MODULE", ".not_there")
    async with Transports() as transports:
        with pytest.raises(NotInstalled, match=r"pip install 'rookery\[mcp\]'"):
            await transports.invoke(Endpoint.of("mcp", "server"), call("echo"))
