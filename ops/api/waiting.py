"""Reading what one wrote: waiting until the read models hold the event at an address."""

from __future__ import annotations

import asyncio
import re

from ...schemas import InvalidInput, RookeryError
from ..node import Node
from ..projector import Projector

WAIT_SECONDS_MAX = 10.0
ADDRESS_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)

Vector = dict[str, int]


class InvalidAddress(InvalidInput):
    """What should be the address of an event in the log isn't one."""

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        self.reason = reason
        super().__init__(f"{where}: {reason}")


class NotYetVisible(RookeryError):
    """The read models don't hold the event yet, and the time to wait for it is over."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(
            f"the read models did not reach {address} within {WAIT_SECONDS_MAX:g} seconds; ask again, and see /status"
        )


async def until_visible(node: Node, address: str | None, *, projector: Projector | None = None) -> None:
    """Wait until the read models, or what `projector` folds, hold the event at `address`.

    Raises `InvalidAddress` or `NotYetVisible`.
    """
    if address is None:
        return
    origin, n = address_in(address, node.log.vector(), "wait_for")
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await (projector or node.projector).wait_for({origin: n})
    except TimeoutError:
        raise NotYetVisible(address) from None


def address_in(text: str, end: Vector, where: str) -> tuple[str, int]:
    """The address of an event in a log that goes up to `end`, given as `where`. Raises `InvalidAddress`."""
    origin, _, number = text.rpartition(":")
    if not origin or not ADDRESS_NUMBER.fullmatch(number):
        raise InvalidAddress(where, "an address is an origin and a number, as in `local:41`")
    if origin not in end:
        raise InvalidAddress(where, f"the log has no origin {origin!r}; it has {', '.join(end) or 'none yet'}")
    if int(number) > end[origin]:
        raise InvalidAddress(where, f"the log of {origin!r} ends at {end[origin]}")
    return origin, int(number)
