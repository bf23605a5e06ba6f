"""Heartbeats: what an agent says on `beat.<agent>` to be held alive. Nobody keeps them: a log needs no pulse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ...schemas import escape, unescape
from ...schemas.agents import Incarnation, InHand

BEATS = "beat.>"
BEAT_BYTES_MAX = 512
# Clocks differ. A beat from further ahead says more of its sender's clock than of its health.
CLOCK_AHEAD_SECONDS_MAX = 60.0

Fault = Literal["malformed", "future", "unknown", "fenced"]
FAULTS: tuple[Fault, ...] = ("malformed", "future", "unknown", "fenced")


class Beat(msgspec.Struct, frozen=True, omit_defaults=True):
    """One heartbeat, which is also how an agent answers a probe. Without an incarnation it is the newest one's."""

    time: Annotated[datetime, Meta(tz=True)]
    incarnation: Incarnation | None = None
    active_assignments: InHand | None = None


class Notice(msgspec.Struct, frozen=True):
    """What a node says to an agent that beats although it is dead, or not registered: on `fence.<agent>`, so that it
    looks for itself."""

    incarnation: int
    state: str


_beats = msgspec.json.Decoder(Beat)


def beat_subject(agent_id: str) -> str:
    """Where this agent beats."""
    return f"beat.{escape(agent_id)}"


def fence_subject(agent_id: str) -> str:
    """Where this agent is told that it can commit nothing any more."""
    return f"fence.{escape(agent_id)}"


def probe_subject(agent_id: str) -> str:
    """Where this agent is asked whether it is alive."""
    return f"cmd.agent.probe.{escape(agent_id)}"


def beating(subject: str) -> str:
    """Whose heart beats on this subject."""
    return unescape(subject.partition(".")[2])


def read_beat(payload: bytes, *, now: datetime | None = None) -> Beat | Fault:
    """The beat, or what is wrong with it."""
    if len(payload) > BEAT_BYTES_MAX:
        return "malformed"
    try:
        beat = _beats.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "malformed"
    if beat.time > (now or datetime.now(UTC)) + timedelta(seconds=CLOCK_AHEAD_SECONDS_MAX):
        return "future"
    return beat
