"""How events leave an agent: checked before they go, and sent again until they are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from ...bus import Bus, BusUnavailable, Entity, NoResponder, Receipt, RequestTimedOut
from ...schemas import SEAL_COMMAND, Event, EventData, InvalidData, check, decode, encode
from .profile import Profile

# A publish waits 45 s for the bus by itself: together a quarter of an hour, after which the task is somebody else's.
PUBLISH_ATTEMPTS_MAX = 20
PUBLISH_PAUSE_SECONDS = 0.5
SEAL_ATTEMPTS_MAX = 20
TEXT_CHARACTERS_MAX = 10_000

Answer = TypeVar("Answer")


class Run(NamedTuple):
    """One run of an agent's, in whose name events are told: what they belong to, come from, and are traced by."""

    bus: Bus
    profile: Profile
    id: str
    cause: str
    traceparent: str

    def says(
        self,
        data: EventData,
        *,
        subject: str,
        id: str | None = None,
        traceparent: str | None = None,
        about: str | None = None,
    ) -> Event:
        """A fact of this run, as an event. Raises `InvalidData` for what JSON can't hold."""
        return written(
            self.profile,
            data,
            subject=subject,
            id=id,
            correlationid=self.id,
            causationid=self.cause,
            traceparent=traceparent or self.traceparent,
            datasubject=about,
        )

    async def tell(
        self,
        data: EventData,
        *,
        subject: str,
        id: str | None = None,
        traceparent: str | None = None,
        about: str | None = None,
    ) -> int:
        """Publish a fact of this run; `about` a person, with what is personal in it sealed by the node before.

        Returns its sequence. Raises `InvalidEvent`, `EventTooLarge`, or what `sealed` raises, and then nothing was
        published.
        """
        event = self.says(data, subject=subject, id=id, traceparent=traceparent, about=about)
        return await published(self.bus, event if about is None else await sealed(self.bus, event))


def written(profile: Profile, data: EventData, **envelope: str | None) -> Event:
    """An event of the agent's. Raises `InvalidData` for what JSON can't hold."""
    try:
        return profile.says(data, **envelope)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidData(f"can't be written as JSON: {error}", "data") from None


async def sealed(bus: Bus, event: Event) -> Event:
    """The event as a node gives it back, who alone has the keys of people. It never goes out in plain.

    Raises `CommandRefused` where it can't be sealed, and another `BusError` where no node answers for long.
    """
    payload = encode(event)
    check(payload)
    for _ in range(SEAL_ATTEMPTS_MAX - 1):
        try:
            return decode(await bus.request(SEAL_COMMAND, payload))
        except (BusUnavailable, NoResponder, RequestTimedOut):
            await asyncio.sleep(PUBLISH_PAUSE_SECONDS)
    return decode(await bus.request(SEAL_COMMAND, payload))


async def published(bus: Bus, event: Event) -> int:
    """Publish the event, however often it takes, and return its sequence: the same event again is stored once.

    Raises `InvalidEvent`, `EventTooLarge`, `BusRefused`, or `BusUnavailable` after a quarter of an hour.
    """
    payload = encode(event)
    check(payload)
    return (await insisting(lambda: bus.publish(event, payload))).sequence


async def insisting(attempt: Callable[[], Awaitable[Answer]]) -> Answer:
    """Try again while the bus is away; what is tried must be safe to do twice. Raises `BusUnavailable` in the end."""
    for _ in range(PUBLISH_ATTEMPTS_MAX - 1):
        try:
            return await attempt()
        except BusUnavailable:
            await asyncio.sleep(PUBLISH_PAUSE_SECONDS)
    return await attempt()


async def appended(bus: Bus, event: Event, expected: Mapping[Entity, int]) -> Receipt:
    """Append an event, which was checked, however often it takes; a duplicate only if another was stored as that one.

    Raises as `Bus.append` does, and `BusUnavailable` after a quarter of an hour.
    """
    payload = encode(event)
    [receipt] = await insisting(lambda: bus.append([event], expected=expected, payloads=[payload]))
    if not receipt.duplicate:
        return receipt
    stored = await insisting(lambda: bus.first_after(receipt.sequence - 1))
    is_own = stored is not None and (stored.sequence, stored.payload) == (receipt.sequence, payload)
    return receipt._replace(duplicate=not is_own)  # it may be an earlier attempt's, whose answer was lost


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
