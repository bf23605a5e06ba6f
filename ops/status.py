"""The status: what a node holds, and how far each of its parts is behind the one before it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from .. import __version__
from ..bus import StreamState, shown_url
from ..projections import ReadModel
from .health import Subsystem, ask_bus
from .lanes import Lane

if TYPE_CHECKING:
    from .node import Node


class NodeStatus(msgspec.Struct, frozen=True):
    """The node itself."""

    origin: str
    version: str
    state: str
    started_at: datetime


class ReplicaStatus(msgspec.Struct, frozen=True):
    """A server of the cluster that keeps the events, and how far it is behind the one that leads."""

    server: str
    leads: bool
    well: bool
    lag_events: int


class BusStatus(msgspec.Struct, frozen=True):
    """The bus. What it holds is unknown (null) while it can't be reached; `replicas` is empty without a cluster."""

    url: str
    connected: bool
    messages: int | None
    last_sequence: int | None
    bytes: int | None
    replicas: list[ReplicaStatus] = []


class OriginStatus(msgspec.Struct, frozen=True):
    """One origin's log. `lag_events` is how many events its bus holds beyond it."""

    name: str
    events: int
    lag_events: int
    duplicates: int


class ModelStatus(msgspec.Struct, frozen=True):
    """One read model. `lag_events` is how many events the log holds beyond it."""

    name: str
    version: int
    lag_events: int


class Status(msgspec.Struct, frozen=True):
    """Everything at a glance. `events` counts those in the log, over all origins.

    `graph_lag_events` is how many of them the knowledge graph has yet to look at.
    """

    node: NodeStatus
    bus: BusStatus
    events: int
    origins: list[OriginStatus]
    projections: list[ModelStatus]
    graph_lag_events: int
    dead_letters: int
    subsystems: dict[str, Subsystem]


async def status_of(node: Node, reads: Lane) -> Status:
    """The status of `node` right now. Quick even where the bus hangs: what it holds is then unknown."""
    held = await ask_bus(node.bus) if node.bus_answers else None
    models, dead_letters = await reads.run(lambda: _looked_up(node))
    vector = node.log.vector()
    behind = _behind(vector, node.projections.vector())
    return Status(
        node=NodeStatus(
            node.settings.origin, __version__, "ready" if node.look().is_ready else "not ready", node.started_at
        ),
        bus=BusStatus(
            shown_url(node.nats_url),
            held is not None,
            held.messages if held else None,
            held.last_sequence if held else None,
            held.bytes if held else None,
            replicas_in(held),
        ),
        events=sum(vector.values()),
        origins=[_origin(node, name, n, held) for name, n in vector.items()],
        projections=[ModelStatus(model.name, model.version, behind) for model in models],
        graph_lag_events=_behind(vector, node.graph.vector()),
        dead_letters=dead_letters,
        subsystems=node.health.subsystems,
    )


def replicas_in(held: StreamState | None) -> list[ReplicaStatus]:
    """The servers that keep the events, the one that leads first; none where there is no cluster."""
    if held is None or held.cluster is None:
        return []
    leads = [ReplicaStatus(held.cluster.leader, True, True, 0)] if held.cluster.leader else []
    return leads + [
        ReplicaStatus(replica.server, False, replica.is_well, replica.lag_events) for replica in held.cluster.replicas
    ]


def _behind(vector: dict[str, int], position: dict[str, int]) -> int:
    return sum(max(n - position.get(origin, 0), 0) for origin, n in vector.items())


def _looked_up(node: Node) -> tuple[list[ReadModel], int]:
    return node.projections.models(), node.log.dead_events()


def _origin(node: Node, name: str, events: int, held: StreamState | None) -> OriginStatus:
    if spoke := node.spokes.get(name):
        return OriginStatus(name, events, spoke.lag_events, spoke.ingest.status.duplicates)
    if name != node.settings.origin:
        return OriginStatus(name, events, 0, 0)
    ingest = node.ingest.status
    lag = max(held.last_sequence - ingest.position, 0) if held else 0
    return OriginStatus(name, events, lag, ingest.duplicates)
