"""`rookery mcp`: Rookery as a server of the Model Context Protocol, for whoever starts it."""

from __future__ import annotations

import asyncio

import click

from ...schemas import RookeryError
from ..client import Client
from .options import node_option


class McpNotInstalled(RookeryError):
    """The MCP SDK is an extra."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the MCP SDK is not installed ({reason}): pip install 'rookery[mcp]'")


@click.command()
@click.option("--read-only", is_flag=True, help="Offer no tool that changes anything.")
@node_option
def mcp(client: Client, read_only: bool) -> None:
    """Let a model ask this node and give its agents work: an MCP server over stdio, for an assistant to start.

    The node need not run yet: each tool says so while it doesn't. The same tools are at /mcp of the node's HTTP API.

    \b
    rookery mcp
    rookery mcp --read-only --url http://127.0.0.1:8801
    claude mcp add rookery -- rookery mcp
    """
    try:
        from ..mcp.node_api import NodeApi
        from ..mcp.server import serve_stdio
    except ImportError as error:
        raise McpNotInstalled(str(error)) from None

    async def serve() -> None:
        async with NodeApi.at(client.url) as api:
            await serve_stdio(api, read_only=read_only)

    asyncio.run(serve())
