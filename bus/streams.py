"""The streams as data: what each one is called, what it holds and how, applied at every start.

A setting that differs from ours and can't be brought in line, or that would let events be lost, is named in
`StreamDrifted` and nothing is served from that stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from ..schemas import EVENTS, WORK
from .connection import Connection
from .contract import StreamState
from .errors import BusRefused, StreamDrifted
from .jetstream import STREAM_NOT_FOUND, call

# nats-server keeps every id of this window in memory, some 130 bytes each: 60 s at 15,000 events/s are 120 MB. It only
# has to outlast the retries of one publish (PUBLISH_DEADLINE_SECONDS), since what was stored is known by reading
# back, and the log drops a repeated id however late it comes.
DUPLICATE_WINDOW_SECONDS = 60
WORK_WAITING_MAX = 1_000_000

_NANOSECONDS = 1_000_000_000


class StreamConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One stream, in JetStream's own words. Limits that would let events go are absent on purpose."""

    name: str
    subjects: tuple[str, ...]
    storage: str = "file"
    retention: str = "limits"
    discard: str = "new"
    max_msgs: int = -1
    max_bytes: int = -1
    max_age: int = 0
    max_msgs_per_subject: int = -1
    num_replicas: int = 1
    duplicate_window: int = DUPLICATE_WINDOW_SECONDS * _NANOSECONDS
    allow_atomic: bool = True
    allow_direct: bool = True
    deny_delete: bool = True
    deny_purge: bool = True
    allow_msg_ttl: bool = False
    allow_msg_schedules: bool = False
    allow_rollup_hdrs: bool = False
    sealed: bool = False


class _State(msgspec.Struct, frozen=True):
    messages: int
    bytes: int
    first_seq: int
    last_seq: int


class _Info(msgspec.Struct, frozen=True):
    created: datetime
    state: _State
    config: dict[str, object] = {}


EVENT_STREAM = StreamConfig(name="EVENTS", subjects=(EVENTS,))
# Work leaves this stream when it is done. When it is full, more work is refused; none is dropped.
WORK_STREAM = StreamConfig(
    name="WORK",
    subjects=(WORK,),
    retention="workqueue",
    max_msgs=WORK_WAITING_MAX,
    deny_delete=False,
    deny_purge=False,
)

_OPERATORS_CHOICE = frozenset({"num_replicas"})
# What may change from one version of Rookery to the next, and harms no event: brought in line without asking.
_ADJUSTABLE = frozenset({"allow_atomic", "allow_direct", "duplicate_window"})


async def apply(connection: Connection, stream: StreamConfig) -> StreamState:
    """Make sure that the stream exists as configured, and say what it holds. Raises `StreamDrifted`."""
    try:
        info = await call(connection, f"STREAM.INFO.{stream.name}", None, _Info)
    except BusRefused as refused:
        if refused.code != STREAM_NOT_FOUND:
            raise
        info = await call(connection, f"STREAM.CREATE.{stream.name}", stream, _Info)
    if harmless := {setting: ours for setting, ours in _drift(stream, info.config).items() if setting in _ADJUSTABLE}:
        info = await call(connection, f"STREAM.UPDATE.{stream.name}", {**info.config, **harmless}, _Info)
    if drift := drift_of(stream, info.config):
        raise StreamDrifted(stream.name, drift)
    return _state_in(info)


async def state(connection: Connection, stream: StreamConfig) -> StreamState:
    """What the stream holds."""
    return _state_in(await call(connection, f"STREAM.INFO.{stream.name}", None, _Info))


def drift_of(stream: StreamConfig, found: Mapping[str, object]) -> list[str]:
    """Each setting in which `found` differs from ours, as in `max_msgs is 10, not -1`."""
    return [f"{setting} is {found.get(setting)!r}, not {ours!r}" for setting, ours in _drift(stream, found).items()]


def _drift(stream: StreamConfig, found: Mapping[str, object]) -> dict[str, object]:
    """Our values of the settings in which `found` differs. JetStream leaves out what is false."""
    ours: dict[str, object] = msgspec.json.decode(msgspec.json.encode(stream))
    return {
        setting: value
        for setting, value in ours.items()
        if setting not in _OPERATORS_CHOICE and found.get(setting, False) != value
    }


def _state_in(info: _Info) -> StreamState:
    held = info.state
    return StreamState(info.created, held.first_seq, held.last_seq, held.messages, held.bytes)
