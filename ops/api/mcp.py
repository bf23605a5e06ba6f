"""`/mcp`: the Model Context Protocol over HTTP, which is imported when somebody first speaks it."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from importlib import import_module
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .problems import problem

PATH = "/mcp"
MODULE = "..mcp.mount"


class McpRoute:
    """What answers at `/mcp`. To be closed with the application."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._host = host
        self._mount: Any = None
        self._mounting = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; where the SDK isn't installed, that it isn't."""
        try:
            mount = await self._mounted()
        except ImportError as error:
            detail = f"the MCP SDK is not installed ({error}): pip install 'rookery[mcp]', and start the node again"
            await problem(HTTPStatus.NOT_IMPLEMENTED, detail)(scope, receive, send)
        else:
            await mount(scope, receive, send)

    async def close(self) -> None:
        """Answer no more."""
        if self._mount is not None:
            await self._mount.close()

    async def _mounted(self) -> Any:
        async with self._mounting:
            if self._mount is None:
                module = await asyncio.to_thread(import_module, MODULE, __package__)
                self._mount = module.McpMount(self._app, self._host)
            return self._mount


def install(app: FastAPI, host: str) -> McpRoute:
    """Serve MCP at `/mcp`. POST alone: a server that says nothing by itself has no stream to be read."""
    served = McpRoute(app, host)
    app.router.routes.append(Route(PATH, served, methods=["POST"], include_in_schema=False))
    return served
