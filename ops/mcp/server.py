"""The MCP server itself: Rookery's tools and resources in the official SDK, over stdio or HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from mcp import MCPError
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)
from mcp.types import Tool as McpTool

from ... import __version__
from ...schemas import current_types
from .node_api import NodeApi, ToolFailed
from .tool import Tool
from .tools import TOOLS

JSON = "application/json"
SCHEME = "rookery://"
ROWS_SHOWN = 20
TYPES = next(tool for tool in TOOLS if tool.name == "describe_event_type")
INSTRUCTIONS = """\
Rookery is the system of record of a colony of AI agents: an append-only log of events, and read models (tables) that
are derived from it. Ask with list_read_models, then query_read_model or sql; ask why for the events behind a row, and
with as_of about any moment of the past. Give agents work with assign, and wait for its result with get_assignment.
What is recorded stays for ever: publish_event and assign only what is meant."""

Context = ServerRequestContext[Any]


def server_of(api: NodeApi, *, read_only: bool = False) -> Server[Any]:
    """A server with Rookery's tools, over a node's API; `read_only`, without those that change anything."""
    return _Serving(api, [tool for tool in TOOLS if not (read_only and tool.changes)]).server()


async def serve_stdio(api: NodeApi, *, read_only: bool = False) -> None:
    """Serve whoever has started this process, until they close its input."""
    server = server_of(api, read_only=read_only)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


class _Serving:
    def __init__(self, api: NodeApi, tools: Sequence[Tool]) -> None:
        self._api = api
        self._tools = {tool.name: tool for tool in tools}

    def server(self) -> Server[Any]:
        return Server(
            "rookery",
            version=__version__,
            title="Rookery",
            instructions=INSTRUCTIONS,
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            on_list_resources=self.list_resources,
            on_list_resource_templates=self.list_resource_templates,
            on_read_resource=self.read_resource,
        )

    async def list_tools(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_described(tool) for tool in self._tools.values()])

    async def call_tool(self, _: Context, asked: CallToolRequestParams) -> CallToolResult:
        """What the tool says. What went wrong is told as its result, which a model sees and can answer."""
        tool = self._tools.get(asked.name)
        try:
            if tool is None:
                raise ToolFailed(f"there is no tool {asked.name!r}; there are {', '.join(self._tools)}")
            told = await tool.call(self._api, asked.arguments or {})
        except ToolFailed as error:
            return CallToolResult(content=[TextContent(text=str(error))], is_error=True)
        return CallToolResult(content=[TextContent(text=_json(told))], structured_content=told)

    async def list_resources(self, _: Context, __: PaginatedRequestParams | None) -> ListResourcesResult:
        try:
            models = await self._api.get("/query")
        except ToolFailed:  # a node that is away has nothing to show; its tools say so
            models = []
        described = [
            Resource(
                uri=f"{SCHEME}models/{one['name']}", name=one["name"], description=one["description"], mime_type=JSON
            )
            for one in models
        ]
        types = Resource(uri=f"{SCHEME}events", name="events", description="The types of events.", mime_type=JSON)
        return ListResourcesResult(resources=[types, *described])

    async def list_resource_templates(
        self, _: Context, __: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult(
            resource_templates=[
                _template("models/{name}", "model", "A read model: its columns, and its first rows."),
                _template("events/{type}", "event", "The JSON Schema of a type of event, as in run.started."),
            ]
        )

    async def read_resource(self, __: Context, asked: ReadResourceRequestParams) -> ReadResourceResult:
        uri = str(asked.uri)
        kind, _, name = uri.removeprefix(SCHEME).partition("/")
        try:
            content = await self._content(kind, name)
        except ToolFailed as error:
            raise MCPError(INVALID_PARAMS, f"{uri}: {error}") from None
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=JSON, text=_json(content))])

    async def _content(self, kind: str, name: str) -> Any:
        if kind == "events":
            return await TYPES.call(self._api, {"type": name} if name else {})
        if kind == "models" and name:
            models = {one["name"]: one for one in await self._api.get("/query")}
            rows = await self._api.get(f"/query/{name}", limit=ROWS_SHOWN)
            return models.get(name, {}) | {"rows": rows["rows"]}
        count = len(current_types())
        raise ToolFailed(f"there are rookery://events (of {count} types) and rookery://models/NAME")


def _described(tool: Tool) -> McpTool:
    hints = ToolAnnotations(
        title=tool.title,
        read_only_hint=not tool.changes,
        destructive_hint=tool.destroys,
        idempotent_hint=not tool.changes,
        open_world_hint=False,
    )
    return McpTool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        annotations=hints,
    )


def _resource(place: str, name: str, description: str) -> Resource:
    return Resource(uri=SCHEME + place, name=name, description=description, mime_type=JSON)


def _template(place: str, name: str, description: str) -> ResourceTemplate:
    return ResourceTemplate(uri_template=SCHEME + place, name=name, description=description, mime_type=JSON)


def _json(content: Any) -> str:
    return msgspec.json.encode(content).decode()
