"""What may be in a request's query: a parameter that a route doesn't know is refused, never silently left out.

Who misspells `as_of` would otherwise be told about the present, and take it for the past.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.requests import HTTPConnection

from ...schemas import InvalidInput

SPARQL = "/sparql"
# The protocol's, and those by which SPARQL clients say once more what they say in Accept.
PROTOCOL = frozenset({"query", "update", "default-graph-uri", "named-graph-uri", "format", "output", "results"})
# Filters, which the route checks by itself; and what scrapers, probes and exporters add, whose answer is the same.
FREE = frozenset(
    {
        "/query/{name}",
        "/metrics",
        "/hobby/metrics/prometheus",
        "/health/live",
        "/health/ready",
        "/health",
        "/v1/traces",
    }
)


class UnknownParameter(InvalidInput):
    """A route has no such parameter: `name`; `where` says which route, `known` which parameters it has."""

    def __init__(self, name: str, where: str, known: Iterable[str]) -> None:
        self.name = name
        self.where = where
        self.known = sorted(known)
        nearest = get_close_matches(name, self.known, n=1)
        meant = f"; did you mean {nearest[0]!r}?" if nearest else ""
        super().__init__(
            f"{name[:100]!r} is no parameter of {where}, which has {', '.join(self.known) or 'none'}{meant}"
        )


async def known_parameters(connection: HTTPConnection) -> None:
    """For every route: refuse what it would not look at. Raises `UnknownParameter`."""
    if connection.scope["query_string"]:
        refuse_unknown(connection, connection.query_params)


def refuse_unknown(connection: HTTPConnection, names: Iterable[str]) -> None:
    """Of the parameters of a request, wherever they stand. Raises `UnknownParameter`."""
    route = connection.scope["route"]
    if route.path in FREE:
        return
    known = _known(route)
    for name in names:
        if name not in known:
            raise UnknownParameter(name, route.path, known)


def _known(route: APIRoute | APIWebSocketRoute) -> frozenset[str]:
    declared = {one.alias for one in get_flat_params(route.dependant) if isinstance(one.field_info, Query)}
    return PROTOCOL | declared if route.path == SPARQL else frozenset(declared)
