"""Health: each subsystem of a node by name, with its state and since when."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from ..bus import Bus, BusError, EventSource, StreamState, shown_url
from ..schemas import RookeryError

State = Literal["starting", "ready", "degraded", "failed", "stopped"]

UNWELL_SECONDS_MAX = 10.0
BUS_ANSWER_SECONDS_MAX = 3.0
LOOK_SECONDS = 0.25

# A spoke's subsystem is this and its name.
SPOKE = "spoke "

# What these can't do for a while is told, and keeps nobody from using the node: a degraded projector leaves read models
# that answer as of a while ago, and what the bus has lost is in the log.
AUXILIARY = frozenset(
    {
        "archive",
        "bridges",
        "bus",
        "bus-history",
        "bus-store",
        "dispatcher",
        "folders",
        "log",
        "projector",
        "reactions",
        "snapshot",
        "sync",
    }
)


class HeldUp(RookeryError):
    """What was published is durable, but the part that has to take it on has not been well for a while."""

    def __init__(self, subsystem: str, reason: str) -> None:
        self.subsystem = subsystem
        self.reason = reason
        super().__init__(
            f"the events are safe on the bus, but {subsystem} is held up: {reason or 'no reason is known'}. They go on "
            "by themselves when it is well again; publishing them once more changes nothing"
        )


class Subsystem(msgspec.Struct, frozen=True):
    """How one part of the node is, since when, and what is wrong with it."""

    state: State
    since: datetime
    detail: str = ""


class Health:
    """The states of all subsystems. A node is ready when each is, or can at least be done without."""

    def __init__(self) -> None:
        self.subsystems: dict[str, Subsystem] = {}

    def set(self, name: str, state: State, detail: str = "") -> None:
        """Note a subsystem's state; `since` moves only when the state changes."""
        before = self.subsystems.get(name)
        since = before.since if before and before.state == state else datetime.now(UTC)
        self.subsystems[name] = Subsystem(state, since, detail)

    @property
    def is_ready(self) -> bool:
        """Whether every subsystem that serving takes is ready."""
        return bool(self.subsystems) and all(
            part.state == "ready" or (part.state == "degraded" and (name in AUXILIARY or name.startswith(SPOKE)))
            for name, part in self.subsystems.items()
        )

    async def while_well(self, work: Coroutine[Any, Any, None], *names: str) -> None:
        """Wait for `work`, however long it takes, unless a subsystem it needs is unwell for long: then `HeldUp`."""
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait([task], timeout=LOOK_SECONDS))[0]:
                self._raise_if_unwell(names)
            await task
        finally:
            task.cancel()

    def _raise_if_unwell(self, names: tuple[str, ...]) -> None:
        now = datetime.now(UTC)
        for name in names:
            part = self.subsystems.get(name)
            if part and part.state != "ready" and (now - part.since).total_seconds() > UNWELL_SECONDS_MAX:
                raise HeldUp(name, part.detail)


def state_of_bus(url: str, held: StreamState | None, *, answers: bool) -> tuple[State, str]:
    """How the bus is, by what it `held` when it answered last, if it did."""
    if not answers:
        return "failed", f"no answer from {shown_url(url)}"
    cluster = held.cluster if held else None
    if cluster and cluster.unwell:
        return "degraded", f"{', '.join(cluster.unwell)} can't take over: gone, or behind {cluster.leader or 'nobody'}"
    return "ready", ""


async def ask_bus(bus: Bus) -> StreamState | None:
    """What the event stream holds; None if the bus can't be reached, or hangs."""
    return await ask_source(bus) if bus.connected else None


async def ask_source(source: EventSource) -> StreamState | None:
    """What a source of events holds; None if it can't be reached, or hangs."""
    try:
        async with asyncio.timeout(BUS_ANSWER_SECONDS_MAX):
            return await source.state()
    except (BusError, TimeoutError):
        return None
