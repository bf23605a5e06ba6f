"""Metrics: what a node tells Prometheus, about itself as it is right now, and about the colony as of a moment ago.

What is asked of the read models is asked by one at a time, kept for all who scrape, and left as it was while it can't
be had: a node that is too busy to answer still says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, get_args

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from .. import __version__
from ..eventstore.judging import Fault
from ..handlers.fleet.beats import FAULTS
from ..handlers.fleet.liveness import Heard, Step
from ..handlers.fleet.registry import State as AgentState
from .colony import Colony, Watch
from .colony import families as colony_families
from .families import counter, gauge, histogram
from .intake import DENIALS
from .lanes import Lane
from .node import INGEST_STATES, Node
from .status import replicas_in

KEEP_SECONDS = 5.0
# Looking may take at most this share of the time, however large the colony is.
LOOKING_SHARE = 0.05
PATIENCE_SECONDS = 2.0
FIRST_PATIENCE_SECONDS = 8.0  # there is nothing to show instead, and Prometheus waits for 10 seconds
SCRAPES_WAITING_MAX = 100

WATCHED_STATES: tuple[AgentState, ...] = ("alive", "suspect", "expired", "evicted", "unregistered")
STEPS = get_args(Step)
BEAT_OUTCOMES: tuple[Heard, ...] = ("taken", *FAULTS)
OUTCOMES = ("nothing", "completed", "failed", "parked")

Families = Callable[[], Iterator[Metric]]

logger = logging.getLogger(__name__)


class Seen(NamedTuple):
    """What a look at the read models and the log found, and when by the clock."""

    colony: Colony
    dead_letters: dict[str, int]
    duckdb_bytes: dict[str, int]
    at: float


class Metrics:
    """The metrics of one node, in a registry of their own. `extra` adds families, as of the requests to its API."""

    def __init__(
        self,
        node: Node,
        *,
        extra: Families | None = None,
        watch: Watch | None = None,
        keep_seconds: float = KEEP_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._watch = watch or Watch(node.projections)
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._looks = Lane("looks", 1, 0)
        self._scrapes = Lane("scrapes", 1, SCRAPES_WAITING_MAX)
        self._looking: asyncio.Task[None] | None = None
        self._seen: Seen | None = None
        self._due = clock()
        self._failures = 0
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        self._registry.register(_Collected(self._families))
        if extra:
            self._registry.register(_Collected(extra))

    async def text(self) -> bytes:
        """Everything in Prometheus's text format, version 0.0.4. Raises `TooBusy`."""
        return await self._encoded(generate_latest)

    async def openmetrics(self) -> bytes:
        """Everything as OpenMetrics 1.0.0. Raises `TooBusy`."""
        return await self._encoded(generate_openmetrics)

    async def _encoded(self, encode: Callable[[CollectorRegistry], bytes]) -> bytes:
        await self._look_if_due()
        return await self._scrapes.run(partial(encode, self._registry))

    async def _look_if_due(self) -> None:
        if self._looking is None and self._clock() >= self._due:
            self._looking = asyncio.create_task(self._look())
        if self._looking:
            patience = PATIENCE_SECONDS if self._seen else FIRST_PATIENCE_SECONDS
            await asyncio.wait([self._looking], timeout=patience)

    async def _look(self) -> None:
        began = self._clock()
        try:
            found = await self._looks.run(self._found)
            self._seen = Seen(*found, self._clock())
        except Exception as error:
            self._failures += 1
            logger.warning("the metrics of the colony are left as they were: %s", error)
        finally:
            ended = self._clock()
            self._due = ended + max(self._keep_seconds, (ended - began) / LOOKING_SHARE)
            self._looking = None

    def _found(self) -> tuple[Colony, dict[str, int], dict[str, int]]:
        return self._watch.look(), self._node.log.dead_faults(), self._node.projections.memory_bytes()

    def _families(self) -> Iterator[Metric]:
        yield from node_families(self._node)
        for edge in self._node.edges:
            yield from edge.families()
        yield counter(
            "looks_failed", "Looks at the read models, for these metrics, that failed.", [], [([], self._failures)]
        )
        if seen := self._seen:
            yield gauge(
                "look_age_seconds", "How old the figures about the colony are.", [], [([], self._clock() - seen.at)]
            )
            total = sum(seen.dead_letters.values())
            yield gauge("dead_letters", "Events in the log that no read model holds.", [], [([], total)])
            yield gauge(
                "dead_letters_by_fault",
                "Events in the log that no read model holds, by what is wrong with them.",
                ["fault"],
                [([fault], seen.dead_letters.get(fault, 0)) for fault in get_args(Fault)],
            )
            yield gauge(
                "duckdb_memory_bytes",
                "What DuckDB holds in memory for the read models that answer, by its own tags.",
                ["tag"],
                [([tag], held) for tag, held in seen.duckdb_bytes.items()],
            )
            yield from colony_families(seen.colony)


class _Collected(Collector):
    def __init__(self, families: Families) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return self._families()


def node_families(node: Node) -> Iterator[Metric]:
    """The node itself: health, log, ingest, projector, bus, disk."""
    parts = node.health.subsystems
    yield gauge(
        "node_info", "Always 1; what the node is.", ["version", "origin"], [([__version__, node.settings.origin], 1)]
    )
    yield gauge("node_start_time_seconds", "When the node started.", [], [([], node.started_at.timestamp())])
    yield gauge("node_ready", "1 when every subsystem is ready.", [], [([], node.health.is_ready)])
    yield gauge(
        "subsystem_up",
        "1 when the subsystem is ready.",
        ["subsystem"],
        [([name], part.state == "ready") for name, part in list(parts.items())],
    )
    yield gauge("bus_connected", "1 when the bus answers.", [], [([], node.bus.connected and node.bus_answers)])
    yield gauge(
        "disk_free_bytes",
        "Room on the disk that the folder is on.",
        ["folder"],
        [([name], free) for name, free in node.disk.free_bytes().items()],
    )
    yield gauge("vault_keys", "Keys of people, with which texts are sealed.", [], [([], len(node.vault))])
    yield gauge("vault_keys_destroyed", "Keys of people who were forgotten.", [], [([], len(node.vault.forgotten))])
    yield counter(
        "log_healed", "Damaged files of the log that were healed.", [], [([], node.incidents.counts["log_healed"])]
    )
    yield counter("log_events", "Lines of the log.", ["origin"], [([name], n) for name, n in node.log.vector().items()])
    yield from _of_cluster(node)
    yield from _of_ingest(node)
    yield from _of_projections(node)
    yield from _of_sync(node)
    yield from _of_reactions(node)
    yield from _of_verification(node)
    yield from _of_agents(node)


def _of_cluster(node: Node) -> Iterator[Metric]:
    """The servers that keep the events, where there are several; and the spokes, where there are any."""
    label = ["server"]
    replicas = replicas_in(node.bus_held)
    yield gauge("bus_server_well", "1 when it leads, or could.", label, [([one.server], one.well) for one in replicas])
    yield gauge(
        "bus_server_lag_events",
        "Events that the leader holds and this server does not yet.",
        label,
        [([one.server], one.lag_events) for one in replicas],
    )
    yield gauge(
        "spoke_lag_events",
        "Events that the spoke's bus is known to hold and the log does not yet.",
        ["spoke"],
        [([name], spoke.lag_events) for name, spoke in node.spokes.items()],
    )


def _of_verification(node: Node) -> Iterator[Metric]:
    verifier, latest = node.verifier, node.verifier.latest
    yield counter("verified_bytes", "Bytes of the log that were verified since the start.", [], [([], verifier.bytes)])
    yield counter("verification_rounds", "Rounds of verification since the start.", [], [([], verifier.rounds)])
    ended = latest.ended_at.timestamp() if latest else None
    yield gauge("verification_ended_time_seconds", "When the latest verification ended.", [], [([], ended)])
    found = Counter(finding.kind for finding in latest.findings) if latest else Counter()
    samples = [([kind], count) for kind, count in sorted(found.items())]
    yield gauge("verification_findings", "What the latest verification found to be wrong.", ["kind"], samples)


def _of_ingest(node: Node) -> Iterator[Metric]:
    status, held = node.ingest.status, node.bus_held
    yield gauge(
        "ingest_state",
        "1 for the state that ingest is in.",
        ["state"],
        [([state], state == status.state) for state in INGEST_STATES],
    )
    yield gauge("ingest_position", "The last bus sequence that the log holds.", [], [([], status.position)])
    lag = None if held is None else max(held.last_sequence - status.position, 0)
    yield gauge("ingest_lag_events", "Events that the bus holds and the log does not yet.", [], [([], lag)])
    for name, help_, value in (
        ("ingest_events", "Events taken since the node started.", status.events),
        ("ingest_duplicates", "Events that the log had already, since the node started.", status.duplicates),
        ("ingest_missing", "Events that the bus lost, since the node started.", status.missing),
        ("ingest_regressions", "How often the bus had lost what the log holds.", status.regressions),
    ):
        yield counter(name, help_, [], [([], value)])
    yield histogram(
        "append_duration_seconds",
        "How long it took until a group of events was durable in the log.",
        [],
        [([], node.append_seconds)],
    )


def _of_projections(node: Node) -> Iterator[Metric]:
    folded = {
        "read_models": (node.projections.vector(), node.projector),
        "graph": (node.graph.vector(), node.graph_projector),
    }
    held = node.log.vector()
    label = ["projection"]
    yield gauge(
        "projection_lag_events",
        "Events that the log holds and the projection does not yet.",
        label,
        [
            ([name], sum(max(n - vector.get(origin, 0), 0) for origin, n in held.items()))
            for name, (vector, _) in folded.items()
        ],
    )
    yield counter(
        "folded_events",
        "Events folded since the node started.",
        label,
        [([name], projector.folded_events) for name, (_, projector) in folded.items()],
    )
    yield histogram(
        "fold_duration_seconds",
        "How long it took to fold what the log had gained.",
        label,
        [([name], projector.fold_seconds) for name, (_, projector) in folded.items()],
    )


def _of_sync(node: Node) -> Iterator[Metric]:
    peers, label = node.syncing.status().peers, ["peer"]
    yield gauge(
        "sync_lag_events",
        "Events that the peer had and the log lacked after the last pull.",
        label,
        [([one.peer], one.lag_events) for one in peers],
    )
    yield gauge(
        "sync_last_success_timestamp_seconds",
        "When the log last had all that the peer had.",
        label,
        [([one.peer], one.last_success.timestamp() if one.last_success else None) for one in peers],
    )
    yield gauge(
        "sync_forks", "Origins with another history there than here.", label, [([p.peer], len(p.forks)) for p in peers]
    )
    yield counter(
        "sync_events",
        "Events copied from the peer since the node started.",
        label,
        [([p.peer], p.events) for p in peers],
    )
    yield counter(
        "sync_bytes", "Bytes copied from the peer since the node started.", label, [([p.peer], p.bytes) for p in peers]
    )


def _of_agents(node: Node) -> Iterator[Metric]:
    tracker = node.watch.tracker
    states = tracker.states()
    yield gauge(
        "agents_watched",
        "Agents of this bus, by what the watch over them holds of their liveness.",
        ["state"],
        [([state], states[state]) for state in WATCHED_STATES],
    )
    yield counter(
        "agent_beats",
        "Heartbeats heard since the node started: taken, or what was wrong with them.",
        ["outcome"],
        [([outcome], tracker.counts[outcome]) for outcome in BEAT_OUTCOMES],
    )
    yield counter(
        "agent_steps",
        "Changes of agents' liveness that this node decided since it started.",
        ["step"],
        [([step], node.watch.decided[step]) for step in STEPS],
    )
    yield counter(
        "claims_denied",
        "What agents claimed over HTTP and was refused since the node started, by why.",
        ["error"],
        [([error.__name__], node.intake.denied[error.__name__]) for error in DENIALS],
    )


def _of_reactions(node: Node) -> Iterator[Metric]:
    reactions = node.reactions
    names = sorted(name for table in reactions.tables.values() for name in table.names)
    parked = Counter(held.reaction for held in reactions.parked())
    yield gauge(
        "reactions_parked",
        "Reactions that wait for a person, with what happens to the same entity behind them.",
        ["reaction"],
        [([name], parked[name]) for name in names],
    )
    yield counter(
        "reactions",
        "Reactions since the node started, by what became of them; `failed` counts attempts.",
        ["reaction", "outcome"],
        [([name, outcome], reactions.counts[name, outcome]) for name in names for outcome in OUTCOMES],
    )
    lag = max(node.log.vector().get(node.settings.origin, 0) - reactions.position, 0)
    yield gauge("reactions_lag_events", "Events that the log holds and no reaction was asked of yet.", [], [([], lag)])
    aside = node.dispatcher.set_aside
    yield counter("dispatcher_set_aside", "Events that the dispatcher could not take in.", [], [([], aside)])
