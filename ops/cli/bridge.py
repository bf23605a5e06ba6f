"""`rookery bridge`: an agent that is no NATS client gets its work from this process, for as long as it runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import cast

import click
import msgspec

from ...bus import NatsBus
from ...handlers.agent.agent import credentials
from ...handlers.transports import Bridge, Endpoint, Transports, registration
from ...schemas import AgentRegistered
from ..client import Client
from .options import node_option
from .output import remark

POLL_SECONDS = 0.1


@click.command()
@click.argument("agent_id")
@click.argument("capabilities", nargs=-1, required=True)
@click.option("--rest", metavar="URL", help="It takes tasks as JSON that is posted there.")
@click.option("--rpc", metavar="COMMAND", help="It is a program that answers JSON-RPC, a line each way.")
@click.option("--mcp", metavar="COMMAND|URL", help="It is an MCP server, whose tools are its capabilities.")
@click.option("--file", metavar="FOLDER", help="It takes task files from there, and puts results beside them.")
@click.option("--a2a", metavar="URL", help="It is an agent of A2A, whose JSON-RPC endpoint this is.")
@click.option("--role", help="What it is for, as in reviewer.")
@click.option("--at-once", type=click.IntRange(1, 1_000), help="How many tasks it is given at once.  [default: 5]")
@node_option
def bridge(
    client: Client,
    agent_id: str,
    capabilities: tuple[str, ...],
    role: str | None,
    at_once: int | None,
    **ways: str | None,
) -> None:
    """Let an agent take part that is no NATS client: this takes work in its name, and invokes it, until Ctrl-C.

    A program is started when it is needed, and ended with this command. A node does the same for the agents that
    register with an endpoint of its setting `bridges`.

    \b
    rookery bridge linter lint --rpc 'python linter.py'
    rookery bridge reviewer code.review --rest http://127.0.0.1:9000/tasks
    rookery bridge searcher search fetch --mcp 'npx -y some-mcp-server' --at-once 2
    """
    given = [(transport, address) for transport, address in ways.items() if address is not None]
    if len(given) != 1:
        raise click.UsageError("Say in one way how it is reached: --rest, --rpc, --mcp, --file or --a2a.")
    told = registration(Endpoint.of(*given[0]), capabilities, name=agent_id, role=role)
    told = msgspec.structs.replace(told, assignments_max=at_once)
    nats_url = os.environ.get("ROOKERY_NATS_URL") or cast(str, client.get("/status")["bus"]["url"])
    asyncio.run(_serve(agent_id, told, nats_url))


async def _serve(agent_id: str, told: AgentRegistered, nats_url: str) -> None:
    bus = await NatsBus.connect(nats_url, name=agent_id, credentials=credentials())
    async with bus, Transports(bus) as ways:
        bridge = Bridge(agent_id, told, ways)
        running = asyncio.create_task(bridge.run(bus), name=f"bridge {agent_id}")
        telling = asyncio.create_task(_tell(bridge), name=f"tell of {agent_id}")
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await running
        telling.cancel()


async def _tell(bridge: Bridge) -> None:
    """Say when it is reached, and when it isn't any more."""
    said = ""
    while True:
        now = f"{bridge.agent_id} is at work" if bridge.is_reached else f"{bridge.agent_id} waits: {bridge.reason}"
        if now != said:
            remark(said := now)
        await asyncio.sleep(POLL_SECONDS)
