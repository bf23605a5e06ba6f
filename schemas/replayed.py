"""Replayed events: facts that are told once more, and carry a mark by which nobody takes them for new ones.

The mark is four CloudEvents extension attributes in front of the bytes that were published. All the rest, the event's
id included, is as it was: a consumer decodes a replayed event like any other, and whoever takes the mark off has the
fact that the log holds already.
"""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from .envelope import Event
from .errors import InvalidInput, MalformedEvent
from .subjects import subject_of

REPLAYS = "replay.>"
NAME_CHARACTERS_MAX = 64

_ADDRESS = b'"replayaddress"'
_is_name = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{NAME_CHARACTERS_MAX - 1}}}").fullmatch


class InvalidReplayName(InvalidInput):
    """A name that no replay can have, because it is a part of its subjects and of its stream's name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name!r} can't name a replay: use letters, digits, - and _, at most {NAME_CHARACTERS_MAX}; the replay "
            "`NAME` is heard on `replay.NAME.>`, apart from the facts on `evt.>`"
        )


class ReplayedEvent(MalformedEvent):
    """What is marked as replayed was published as a fact; `address` is where the log holds it that it comes from."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(
            f"this is no new fact: it is marked as replayed from {address}. Publish what follows from it as an event "
            "of its own, with its `causationid`",
            "replayaddress",
        )


class Mark(msgspec.Struct, frozen=True):
    """What tells a replayed event from a new one.

    `replayaddress` is where the log holds it, as in `local:41`, and `replayrecorded` when the log learnt it.
    `replayposition` is where the replay `replayname` goes on behind it.
    """

    replayname: str
    replayaddress: str
    replayrecorded: datetime
    replayposition: str


def marked(payload: bytes, mark: Mark) -> bytes:
    """The event with its mark: bytes in front of bytes."""
    return msgspec.json.encode(mark)[:-1] + b"," + payload[1:]


def mark_in(payload: bytes) -> Mark | None:
    """The mark that the event carries, if it does."""
    if _ADDRESS not in payload:
        return None
    try:
        return msgspec.json.decode(payload, type=Mark)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def refuse_replayed(payload: bytes) -> None:
    """To be asked of whatever comes as a new fact. Raises `ReplayedEvent`."""
    if _ADDRESS not in payload:
        return
    try:
        address = msgspec.json.decode(payload, type=_Replayed).replayaddress
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return  # no event at all, which others tell
    if address is not msgspec.UNSET:
        raise ReplayedEvent(address if isinstance(address, str) else "somewhere")


def replay_name(name: str) -> str:
    """The name, if a replay can have it. Raises `InvalidReplayName`."""
    if not _is_name(name):
        raise InvalidReplayName(name)
    return name


def replay_subjects(name: str) -> str:
    """The filter for everything that a replay tells: `replay.<name>.>`."""
    return f"replay.{replay_name(name)}.>"


def replay_subject(name: str, event: Event) -> str:
    """Where a replay tells the event: its own subject, with `replay.<name>` in the place of `evt`."""
    return f"replay.{replay_name(name)}.{subject_of(event).partition('.')[2]}"


class _Replayed(msgspec.Struct):
    replayaddress: object = msgspec.UNSET
