"""Pages of other sites, which a browser lets send to any node that it can reach: it is for the node to refuse them."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from ...schemas import RookeryError

READING = frozenset({"GET", "HEAD", "OPTIONS"})  # what these answer, a browser keeps from the page


class ForeignPage(RookeryError):
    """A browser shows a page of another site that wants to write, or to listen."""

    def __init__(self, origin: str, host: str) -> None:
        self.origin = origin
        self.host = host
        super().__init__(
            f"a page of {origin[:100]} may neither write to the node that it knows as {host[:100]!r}, nor follow its "
            "events; a program that sends no Origin may. A proxy in front of the node has to hand on the Host"
        )


async def own_pages(connection: HTTPConnection) -> None:
    """For every route: refuse what a page of another site wants. Raises `ForeignPage`."""
    origin, host = connection.headers.get("origin"), connection.headers.get("host", "")
    if origin is None or connection.scope.get("method") in READING:
        return
    if urlsplit(origin).netloc != host:
        raise ForeignPage(origin, host)
