"""The HTTP API as one FastAPI application over a node."""

from __future__ import annotations

from itertools import chain

from fastapi import Depends, FastAPI

from ... import __version__
from ..lanes import Lanes
from ..metrics import Metrics
from ..node import Node
from ..roster import Roster
from . import (
    a2a,
    agents,
    archive,
    assignments,
    dead_letters,
    events,
    graph,
    history,
    hobby,
    lineage,
    mcp,
    metrics,
    openapi,
    otlp,
    problems,
    proficiency,
    proofs,
    queries,
    rebuilds,
    snapshot,
    state,
    subagents,
    subassignments,
    sync,
    vault,
    verify,
)
from .bodies import Room
from .pages import own_pages
from .parameters import known_parameters
from .traffic import Traffic, TrafficMiddleware


def create_app(node: Node) -> FastAPI:
    """The application that serves `node`. Make it on the event loop that will run it."""
    app = FastAPI(
        title="Rookery",
        version=__version__,
        summary="The system of record for colonies of AI agents.",
        dependencies=[Depends(own_pages), Depends(known_parameters)],
    )
    app.state.node = node
    app.state.lanes = Lanes()
    app.state.room = Room()
    app.state.roster = Roster(node)
    traffic = Traffic()
    app.state.exports = exports = otlp.Exports()
    app.state.metrics = Metrics(node, extra=lambda: chain(traffic.families(), exports.families()))
    app.add_middleware(TrafficMiddleware, traffic=traffic)
    problems.install(app)
    for router in (
        state.router,
        events.router,
        dead_letters.router,
        a2a.router,
        agents.router,
        subagents.router,
        subassignments.router,
        assignments.router,
        queries.router,
        lineage.router,
        rebuilds.router,
        metrics.router,
        hobby.router,
        history.router,
        proficiency.router,
        graph.router,
        snapshot.router,
        archive.router,
        vault.router,
        proofs.router,
        sync.router,
        verify.router,
        otlp.router,
    ):
        app.include_router(router)
    app.state.mcp = mcp.install(app, node.settings.host)
    openapi.install(app)
    return app
