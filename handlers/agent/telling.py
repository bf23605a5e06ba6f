"""How events leave an agent: checked before they go, and sent again until they are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from ...bus import Bus, BusUnavailable
from ...schemas import Event, EventData, InvalidData, check, encode
from .profile import Profile

# A publish waits 45 s for the bus by itself: together a quarter of an hour, after which the task is somebody else's.
PUBLISH_ATTEMPTS_MAX = 20
PUBLISH_PAUSE_SECONDS = 0.5
TEXT_CHARACTERS_MAX = 10_000


class Run(NamedTuple):
    """One run of an agent's, in whose name events are told: what they belong to, come from, and are traced by."""

    bus: Bus
    profile: Profile
    id: str
    cause: str
    traceparent: str

    async def tell(
        self, data: EventData, *, subject: str, id: str | None = None, traceparent: str | None = None
    ) -> None:
        """Publish a fact of this run. Raises `InvalidEvent` or `EventTooLarge`, and then nothing was published."""
        event = written(
            self.profile,
            data,
            subject=subject,
            id=id,
            correlationid=self.id,
            causationid=self.cause,
            traceparent=traceparent or self.traceparent,
        )
        await published(self.bus, event)


def written(profile: Profile, data: EventData, **envelope: str | None) -> Event:
    """An event of the agent's. Raises `InvalidData` for what JSON can't hold."""
    try:
        return profile.says(data, **envelope)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidData(f"can't be written as JSON: {error}", "data") from None


async def published(bus: Bus, event: Event) -> int:
    """Publish the event, however often it takes, and return its sequence: the same event again is stored once.

    Raises `InvalidEvent`, `EventTooLarge`, `BusRefused`, or `BusUnavailable` after a quarter of an hour.
    """
    payload = encode(event)
    check(payload)
    for _ in range(PUBLISH_ATTEMPTS_MAX - 1):
        try:
            return (await bus.publish(event, payload)).sequence
        except BusUnavailable:
            await asyncio.sleep(PUBLISH_PAUSE_SECONDS)
    return (await bus.publish(event, payload)).sequence


def raise_first(outcomes: Iterable[object]) -> None:
    """Raise the first error among the outcomes of what was told together."""
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def shortened(text: str, characters_max: int = TEXT_CHARACTERS_MAX) -> str:
    """The text as an event can carry it: whole characters, and not too many of them."""
    sound = text[:characters_max].encode("utf-8", "replace").decode()
    left_out = len(text) - characters_max
    return f"{sound}… ({left_out:,} characters more)" if left_out > 0 else sound
