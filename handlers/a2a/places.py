"""Places on the network that a card may name: whom a node may be sent to by what others say.

A node that fetches whatever URL it is given can be made to ask what only it can reach: its own machine, the network
behind it, a cloud's metadata service. So addresses that are not public are refused unless an operator has named their
host, and a connection goes to the very address that was looked at: a name can't point elsewhere a moment later.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Collection
from typing import NamedTuple

import httpx

from .errors import CardRefused, CardUnreachable

PORTS = {"http": 80, "https": 443}
# All of IPv6 that is routed to anybody. What lies outside looks public to some, as do site-local addresses.
ROUTED = ipaddress.ip_network("2000::/3")
# Translators make of such an address the IPv4 address at its end (RFC 6052).
TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


class Place(NamedTuple):
    """A host's port, under the scheme of a URL."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS[self.scheme] else f":{self.port}")


def place_of(url: str) -> Place:
    """Where a URL leads. Raises `CardRefused` for what is no plain URL of a host."""
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise CardRefused(url, f"not a URL: {error}") from None
    if parts.scheme not in PORTS or not parts.host:
        raise CardRefused(url, "not the URL of a host: one looks like https://agents.example.com/a2a")
    if parts.userinfo:
        raise CardRefused(f"{parts.scheme}://…@{parts.host}", "a URL with credentials in it; give it without them")
    return Place(parts.scheme, parts.host.lower().rstrip("."), parts.port or PORTS[parts.scheme])


def refuse_elsewhere(url: str, home: Place, allowed: Collection[str]) -> None:
    """Refuse an endpoint on another host than its card's, unless that host is allowed. Raises `CardRefused`."""
    place = place_of(url)
    if place != home and place.host not in allowed:
        raise CardRefused(
            url,
            f"an endpoint on another host than its card, which is at {home}: a card speaks for its own host. "
            f"Where {place.host} is to be trusted, name it in the setting card_hosts",
        )


async def address_of(place: Place, allowed: Collection[str]) -> str:
    """The address to connect to. Raises `CardRefused` where it isn't public, or `CardUnreachable`."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CardUnreachable(str(place), str(error)) from None
    addresses = [str(one[4][0]) for one in found]
    inside = [one for one in addresses if not is_public(one)]
    if inside and place.host not in allowed:
        raise CardRefused(
            str(place),
            f"its address is {inside[0]}, which is not a public one. Where agents at {place.host} are to be trusted, "
            "name it in the setting card_hosts",
        )
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether anybody may be at an address: not this machine, not a network behind it, and nobody in particular."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if inner := _ipv4_in(found):
            found = inner
        elif found not in ROUTED:
            return False
    return found.is_global and not found.is_multicast


def _ipv4_in(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Whom an address leads to in the end, where that is told by an IPv4 address within it."""
    if address in TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
