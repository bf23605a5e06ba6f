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
from .contract import Cluster, Replica, StreamState, Upstream
from .errors import BusRefused, StreamDrifted
from .jetstream import STREAM_NOT_FOUND, call

# nats-server keeps every id of this window in memory, some 130 bytes each: 60 s at 15,000 events/s are 120 MB. It only
# has to outlast the retries of one publish (PUBLISH_DEADLINE_SECONDS), since what was stored is known by reading
# back, and the log drops a repeated id however late it comes.
DUPLICATE_WINDOW_SECONDS = 60
WORK_WAITING_MAX = 1_000_000

_NANOSECONDS = 1_000_000_000


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What holds of every stream, in JetStream's own words. Limits that would let events go are absent on purpose."""

    name: str
    storage: str = "file"
    retention: str = "limits"
    discard: str = "new"
    max_msgs: int = -1
    max_bytes: int = -1
    max_age: int = 0
    max_msgs_per_subject: int = -1
    num_replicas: int = 1
    allow_direct: bool = True
    deny_delete: bool = True
    deny_purge: bool = True
    allow_msg_ttl: bool = False
    sealed: bool = False


class StreamConfig(_Kept, frozen=True, kw_only=True):
    """A stream that is published to."""

    subjects: tuple[str, ...]
    duplicate_window: int = DUPLICATE_WINDOW_SECONDS * _NANOSECONDS
    allow_atomic: bool = True
    allow_msg_schedules: bool = False
    allow_rollup_hdrs: bool = False


class MirrorConfig(_Kept, frozen=True, kw_only=True):
    """A stream that holds what another one does, at the same sequences and with the same times."""

    mirror: dict[str, object]


class _ReplicaInfo(msgspec.Struct, frozen=True):
    name: str
    current: bool = False
    offline: bool = False
    lag: int = 0


class _ClusterInfo(msgspec.Struct, frozen=True):
    leader: str = ""
    replicas: list[_ReplicaInfo] = []


class _UpstreamInfo(msgspec.Struct, frozen=True):
    lag: int = 0
    active: int = -1


class _Lost(msgspec.Struct, frozen=True):
    msgs: list[int] | None = None


class _State(msgspec.Struct, frozen=True):
    messages: int
    bytes: int
    first_seq: int
    last_seq: int
    lost: _Lost = _Lost()


class _InfoInDetail(msgspec.Struct, frozen=True):
    deleted_details: bool = True


class _Info(msgspec.Struct, frozen=True):
    created: datetime
    state: _State
    config: dict[str, object] = {}
    cluster: _ClusterInfo = _ClusterInfo()
    mirror: _UpstreamInfo | None = None

    @property
    def replicas(self) -> int:
        found = self.config.get("num_replicas", 1)
        assert isinstance(found, int)
        return found


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


def mirror_of(spoke: str, *, replicas: int = 1) -> MirrorConfig:
    """The stream on a hub that mirrors the events of a spoke, whose JetStream domain has the spoke's name."""
    external = {"api": f"$JS.{spoke}.API", "deliver": ""}
    return MirrorConfig(
        name=f"{EVENT_STREAM.name}-{spoke}",
        mirror={"name": EVENT_STREAM.name, "external": external},
        num_replicas=replicas,
    )


async def apply(connection: Connection, stream: StreamConfig | MirrorConfig, *, resize: bool = False) -> StreamState:
    """Make sure that the stream exists as configured, and say what it holds. Raises `StreamDrifted`.

    A stream that is there is kept by as many servers as before, unless `resize`.
    """
    try:
        info = await call(connection, f"STREAM.INFO.{stream.name}", None, _Info)
    except BusRefused as refused:
        if refused.code != STREAM_NOT_FOUND:
            raise
        info = await call(connection, f"STREAM.CREATE.{stream.name}", stream, _Info)
    harmless = {setting: ours for setting, ours in _drift(stream, info.config).items() if setting in _ADJUSTABLE}
    if resize and info.replicas != stream.num_replicas:
        harmless["num_replicas"] = stream.num_replicas
    if harmless:
        info = await call(connection, f"STREAM.UPDATE.{stream.name}", {**info.config, **harmless}, _Info)
    if drift := drift_of(stream, info.config):
        raise StreamDrifted(stream.name, drift)
    return _state_in(info)


async def state(connection: Connection, stream: StreamConfig | MirrorConfig) -> StreamState:
    """What the stream holds."""
    return _state_in(await call(connection, f"STREAM.INFO.{stream.name}", None, _Info))


async def lost_events(connection: Connection, name: str) -> int:
    """How many events of a stream the server found lost when it started: it says so to who asks for the details."""
    info = await call(connection, f"STREAM.INFO.{name}", _InfoInDetail(), _Info)
    return len(info.state.lost.msgs or ())


async def drift(connection: Connection, stream: StreamConfig | MirrorConfig) -> list[str]:
    """Each setting in which the stream differs from ours by now, as in `EVENTS: max_msgs is 10, not -1`."""
    info = await call(connection, f"STREAM.INFO.{stream.name}", None, _Info)
    return [f"{stream.name}: {each}" for each in drift_of(stream, info.config)]


def drift_of(stream: StreamConfig | MirrorConfig, found: Mapping[str, object]) -> list[str]:
    """Each setting in which `found` differs from ours, as in `max_msgs is 10, not -1`."""
    return [f"{setting} is {found.get(setting)!r}, not {ours!r}" for setting, ours in _drift(stream, found).items()]


def _drift(stream: StreamConfig | MirrorConfig, found: Mapping[str, object]) -> dict[str, object]:
    """Our values of the settings in which `found` differs. JetStream leaves out what is false."""
    ours: dict[str, object] = msgspec.json.decode(msgspec.json.encode(stream))
    return {
        setting: value
        for setting, value in ours.items()
        if setting not in _OPERATORS_CHOICE and found.get(setting, False) != value
    }


def _state_in(info: _Info) -> StreamState:
    held = info.state
    replicas = tuple(Replica(one.name, one.current, one.offline, one.lag) for one in info.cluster.replicas)
    cluster = Cluster(info.replicas, info.cluster.leader, replicas) if info.replicas > 1 else None
    upstream = _upstream_in(info.mirror) if info.mirror else None
    return StreamState(info.created, held.first_seq, held.last_seq, held.messages, held.bytes, cluster, upstream)


def _upstream_in(mirror: _UpstreamInfo) -> Upstream:
    return Upstream(mirror.lag, mirror.active / _NANOSECONDS if mirror.active >= 0 else None)
