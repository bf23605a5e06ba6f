"""Pages of other sites, which a browser lets send to any node that it can reach: it is for the node to refuse them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from ...schemas import RookeryError
from ..settings import Settings

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


class UnknownName(RookeryError):
    """A node that listens to its own machine alone is asked by a name that it doesn't have.

    So does a page whose site has made its name lead to 127.0.0.1 by now: for the browser, the node is that site.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"the node listens to its own machine, and isn't known as {host[:100]!r} there: ask for localhost or "
            "127.0.0.1, or, where a proxy hands on the name that others know, set public_url to it"
        )


async def own_pages(connection: HTTPConnection) -> None:
    """For every route: refuse what a page of another site wants. Raises `ForeignPage` or `UnknownName`."""
    origin, host = connection.headers.get("origin"), connection.headers.get("host", "")
    if not is_known(host, connection.app.state.node.settings):
        raise UnknownName(host)
    if origin is None or connection.scope.get("method") in READING:
        return
    if _place_in(origin) != host:
        raise ForeignPage(origin, host)


def is_known(host: str, settings: Settings) -> bool:
    """Whether a node may be asked by this `Host`. An address can't be made to lead elsewhere; only a name can.

    A node that others reach has names that only its network knows.
    """
    if not host or not _is_own_machine(settings.host):
        return True
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    public = urlsplit(settings.public_url or "").hostname
    return _is_own_machine(name) or _address(name) is not None or name in (settings.host, public)


def _place_in(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _is_own_machine(name: str) -> bool:
    address = _address(name)
    return address.is_loopback if address else name == "localhost" or name.endswith(".localhost")


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None
