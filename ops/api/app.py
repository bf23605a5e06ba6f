"""The HTTP API as one FastAPI application over a node."""

from __future__ import annotations

from fastapi import FastAPI

from ... import __version__
from ..node import Node
from . import events, problems, queries, state


def create_app(node: Node) -> FastAPI:
    """The application that serves `node`."""
    app = FastAPI(title="Rookery", version=__version__, summary="The system of record for colonies of AI agents.")
    app.state.node = node
    problems.install(app)
    for router in (state.router, events.router, queries.router):
        app.include_router(router)
    return app
