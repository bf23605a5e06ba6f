"""A server made with the official SDK, over stdio."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("calculator")


@server.tool()
def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


@server.tool()
def divide(a: int, b: int) -> float:
    """The quotient."""
    if b == 0:
        raise ToolError("division by zero")
    return a / b


@server.tool(structured_output=False)
def say(text: str) -> str:
    """The same again."""
    return text


if __name__ == "__main__":
    server.run("stdio")
