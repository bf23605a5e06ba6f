"""The node: the one place where bus, log, read models and their workers are put together."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from .. import __version__
from ..bus import Bus, BusError, NatsBus, Receipt, StreamState
from ..eventstore import Ingest, Log
from ..eventstore.archive import ensure_restored
from ..eventstore.vault import Vault
from ..handlers.assignments import ASSIGNMENTS
from ..handlers.dispatch import Giver
from ..handlers.fleet import AGENTS
from ..handlers.reactions import Reactions
from ..projections import Projections
from ..projections.graph import Graph
from ..projections.graph.exchange import Imports
from ..schemas import SEAL_COMMAND, Event, EventData, NodeStarted, NodeStopped
from .archiver import Archiver
from .bridges import Bridges
from .data_folder import DataFolder
from .disk import Disk
from .dispatching import dispatcher_of, keep_priced, serve_offered, tell_of
from .embedded import Damages, start_server
from .erasure import Erasure, open_vault, places_of_texts
from .folders.watched import WatchedFolders
from .giving_way import GivingWay, step_back
from .graph_pasts import Sources
from .graph_workers import GraphWorkers
from .healing import Healer, open_log
from .health import Health, State, ask_bus, state_of_bus
from .incidents import Incidents
from .intake import Intake, Taken
from .live import Live
from .liveness import fence_of, watch_of
from .memory import resources_of
from .own_history import complete_own_history
from .proficiency import Proficiency
from .projector import Projector
from .reactions import TABLES, Reacting
from .rebuilds import Rebuilds
from .running import running
from .settings import Settings
from .side_cars import SideCarMaker
from .snapshot import SnapshotFile
from .spokes import Spoke
from .syncing import HttpPeer, NatsPeer, Offering, Pulled, Syncing, peer_at, serve_sync
from .timings import Timings
from .verifying import Verifier

WATCH_SECONDS = 0.5
SETTLE_POLL_SECONDS = 0.01
FAREWELL_SECONDS_MAX = 2.0
BUS_CLOSE_SECONDS_MAX = 2.0

Wait = Literal["durable", "logged", "visible"]

INGEST_STATES: dict[str, State] = {
    "starting": "starting",
    "running": "ready",
    "failing": "degraded",
    "failed": "failed",
}


class Node:
    """A running node: what the HTTP API talks to. Made by `running_node`."""

    def __init__(
        self,
        settings: Settings,
        health: Health,
        *,
        disk: Disk,
        bus: NatsBus,
        nats_url: str,
        log: Log,
        vault: Vault,
        projections: Projections,
        graph: Graph,
        graph_imports: Imports,
        graph_workers: GraphWorkers,
        snapshot: SnapshotFile,
        archiver: Archiver,
        tables: Sequence[Reactions],
    ) -> None:
        self.settings = settings
        self.health = health
        self.disk = disk
        self.bus = bus
        self.nats_url = nats_url
        self.log = log
        self.vault = vault
        self.projections = projections
        self.snapshot = snapshot
        self.archiver = archiver
        self.proficiency = Proficiency(projections)
        self.dispatcher = dispatcher_of(log, bus, settings, self.proficiency.lookup)
        places, tables = DataFolder(settings.data), [*tables, self.dispatcher.reactions]
        self.reactions = Reacting(log, bus, settings.origin, places.reactions, tables)
        self.giver = Giver(bus, self.dispatcher, self.reactions.deciders[AGENTS.name])
        self.graph = graph
        self.graph_imports = graph_imports
        self.graph_workers = graph_workers
        self.started_at = datetime.now(UTC)
        self.projector = Projector(projections, health)
        self.rebuilds = Rebuilds(projections, health, self.projector.wake)
        self.graph_projector = Projector(graph, health, "graph", on_thread=step_back)
        self.append_seconds = Timings()
        self.side_car_maker = SideCarMaker(projections.side_cars, GivingWay(log, projections))
        self.incidents = Incidents(bus, settings.origin, health)
        self.ingest = self._make_ingest()
        self.spokes = {name: Spoke(name, bus.mirror(name), log, self._log_grew) for name in settings.spoke_names}
        self.watch = watch_of(self)
        self.intake = Intake(bus, log, vault, fence_of(self))
        held_at = partial(places_of_texts, snapshot.path, settings.archive)
        self.erasure = Erasure(vault, log, projections, origin=settings.origin, publish=bus.publish, places=held_at)
        self.live = Live(log)
        heal = Healer(places, settings, log, bus, nats_url, self.incidents).heal
        rate = settings.verify_megabytes_per_second
        self.verifier = Verifier(log, health, settings.own_origins, rate, heal=heal, bus=bus)
        self.offering = Offering(log, settings.origin, spokes=settings.spoke_names)
        self.syncing = self._make_syncing()
        self.edges = WatchedFolders(self, settings.watch), Bridges(self, settings.bridges)
        self.growth = asyncio.Event()
        self.is_closing = False
        self.bus_answers = True
        self.bus_held: StreamState | None = None  # when the bus last answered, at most a moment ago

    def _make_ingest(self) -> Ingest:
        return Ingest(
            self.bus,
            self.log,
            self.settings.origin,
            on_append=self._log_grew,
            on_seal=self.side_car_maker.wake,
            observe_append=self.append_seconds.observe,
            on_regression=self.incidents.regressed,
            accept_regression=self.settings.nats_url is None,  # the node's own nats-server is nobody else's
        )

    def _make_syncing(self) -> Syncing:
        return Syncing(
            self.log,
            self.settings.own_origins,
            self.health,
            self.settings.data,
            on_fork=self.incidents.forked,
            before_taking=self.disk.ensure_room,
            on_growth=self._log_grew,
            on_seal=self.side_car_maker.wake,
        )

    async def take(self, payloads: Sequence[bytes], wait: Wait = "visible") -> Taken:
        """Publish events; return when they are durable on the bus, in the log, or visible to queries.

        Raises `DiskFull` before anything is published, and `HeldUp` where they are durable and something keeps them
        from getting any further.
        """
        self.disk.ensure_room()
        taken = await self.intake.take(payloads)
        await self.until(taken.sequence, wait)
        return taken

    async def until(self, sequence: int, wait: Wait) -> None:
        """Wait until what is durable up to a bus sequence is in the log, or visible to queries. Raises `HeldUp`."""
        if wait != "durable":
            await self.health.while_well(self.ingest.wait_for(sequence), "bus", "ingest")
        if wait == "visible":
            own = {self.settings.origin: self.log.vector().get(self.settings.origin, 0)}  # peers' events may be many
            await self.health.while_well(self.projector.wait_for(own), "projector")

    def peer_at(self, url: str) -> HttpPeer | NatsPeer:
        """A peer by its URL, of which `nats:///NODE` is on this node's own bus. To be closed."""
        return peer_at(url, bus_url=self.nats_url, credentials=self.settings.nats_credentials)

    async def pull_from(self, url: str) -> Pulled:
        """Copy what the peer at this URL has and the log lacks. Raises `InvalidInput`, and what `Pull.run` raises."""
        async with aclosing(self.peer_at(url)) as peer:
            return await self.syncing.pull(peer)

    def look(self) -> Health:
        """Note what bus, ingest and rebuilds say of themselves right now; the other parts note it themselves."""
        answers = self.bus.connected and self.bus_answers
        self.health.set("bus", *state_of_bus(self.nats_url, self.bus_held, answers=answers))
        for spoke in self.spokes.values():
            spoke.look(self.health)
        ingest = self.ingest.status
        self.health.set("ingest", INGEST_STATES[ingest.state], ingest.reason)
        self.disk.has_room()
        self.rebuilds.look()
        self.reactions.tell(self.health)
        tell_of(self.dispatcher, self.health)
        for edge in self.edges:
            edge.tell(self.health)
        return self.health

    def end_following(self) -> None:
        """Let those who follow the log go: the node closes."""
        self.is_closing = True
        self.growth.set()
        self.live.close()

    async def announce(self, fact: EventData) -> Receipt:
        """Publish a fact about this node itself."""
        event = Event.of(fact, subject=self.settings.origin, source=f"/nodes/{self.settings.origin}")
        return await self.bus.publish(event)

    def _log_grew(self) -> None:
        """Wake the projectors and all who took `growth` before they last looked at the log."""
        self.projector.wake()
        self.graph_projector.wake()
        self.live.wake()
        self.reactions.wake()
        self.dispatcher.wake()
        grown, self.growth = self.growth, asyncio.Event()
        grown.set()


@asynccontextmanager
async def running_node(
    folder: DataFolder, settings: Settings, *, tables: Sequence[Reactions] = TABLES
) -> AsyncIterator[Node]:
    """Start everything that a node needs, on a data folder that the caller owns, and stop all of it in the end.

    `tables` are the reactions that it has.
    """
    health, damages = Health(), Damages()
    async with AsyncExitStack() as stack:
        disk = _ensured(folder, health)
        nats_url = settings.nats_url or await start_server(stack, folder.path, settings, health, disk, damages)
        bus = await _connected(stack, nats_url, settings)
        reach = partial(peer_at, bus_url=nats_url, credentials=settings.nats_credentials)
        await complete_own_history(folder, settings.origin, settings.peers, bus, reach)
        log, healed = await open_log(folder, settings, bus, nats_url)
        stack.callback(log.close)
        opening = asyncio.create_task(asyncio.to_thread(Graph.open, folder.graph, log))
        opening_models = partial(Projections.open, resources=resources_of(settings), serve_outdated=True)
        projections = await asyncio.to_thread(opening_models, folder.database, log)
        stack.callback(projections.close)
        graph = await opening
        stack.callback(graph.close)
        graph.pace = GivingWay(log, projections)
        graph_imports = Imports(folder.graph_imports)
        await asyncio.to_thread(graph_imports.load, graph.store)
        sources = Sources(log.folder, graph_imports, graph.vector, disk.ensure_room)
        graph_workers = _graph_workers(folder, settings, graph, graph_imports, sources)
        stack.push_async_callback(graph_workers.close)
        snapshot = SnapshotFile(projections, health, folder.snapshot)
        stack.callback(snapshot.close)
        archiver = Archiver(folder.path, log, health, settings)
        stack.callback(archiver.close)
        node = Node(
            settings,
            health,
            disk=disk,
            bus=bus,
            nats_url=nats_url,
            log=log,
            vault=await asyncio.to_thread(open_vault, folder.vault, log),
            projections=projections,
            graph=graph,
            graph_imports=graph_imports,
            graph_workers=graph_workers,
            snapshot=snapshot,
            archiver=archiver,
            tables=tables,
        )
        for part in (node.verifier, node.side_car_maker, node.graph_projector, node.projector, node.rebuilds):
            stack.callback(part.close)
        node.incidents.healed(healed)
        await _set_going(stack, node, damages)
        started = await node.announce(NodeStarted(version=__version__, host=platform.node() or None))
        stack.push_async_callback(_farewell, node)
        await _settle(node, started.sequence)
        if node.ingest.position >= started.sequence:
            folder.restored.unlink(missing_ok=True)
        await _have_react(stack, node)
        yield node


def _ensured(folder: DataFolder, health: Health) -> Disk:
    """The disk, which has room, beneath a folder that a node may start on."""
    ensure_restored(folder.log)
    disk = Disk(folder.path, health)
    disk.ensure_room()
    return disk


async def _connected(stack: AsyncExitStack, nats_url: str, settings: Settings) -> NatsBus:
    """The bus, and in it the stream that work waits in: an agent that only has NATS may be there before any work is."""
    bus = await NatsBus.connect(
        nats_url, credentials=settings.nats_credentials, replicas=settings.nats_replicas, name=settings.origin
    )
    stack.push_async_callback(_close, bus)
    await bus.make_room_for_work()
    return bus


def _graph_workers(
    folder: DataFolder, settings: Settings, graph: Graph, imports: Imports, sources: Sources
) -> GraphWorkers:
    return GraphWorkers(
        lambda: graph.store,
        lambda: (id(graph.store), graph.vector(), imports.added),
        folder.graph / "copies",
        seconds_max=settings.query_seconds_max,
        sources=sources,
    )


async def _have_react(stack: AsyncExitStack, node: Node) -> None:
    """Only now: what was told of reactions before is in the log by now, and not done again."""
    for decider in (node.reactions.lives, *node.reactions.deciders.values()):
        await stack.enter_async_context(decider.serving())
    await stack.enter_async_context(running(node.dispatcher.run(node.reactions.deciders[ASSIGNMENTS.name])))
    await stack.enter_async_context(running(node.reactions.run()))
    await stack.enter_async_context(running(node.watch.run()))
    await stack.enter_async_context(running(serve_offered(node.bus, node.settings, node.dispatcher)))
    while not node.reactions.has_begun and not node.reactions.trouble:  # what is published from now on is answered
        await asyncio.sleep(SETTLE_POLL_SECONDS)


async def _set_going(stack: AsyncExitStack, node: Node, damages: Damages) -> None:
    """Let every part do its work from now on, each beside the others."""
    node.health.set("projector", "starting")
    node.health.set("graph", "ready")  # nobody waits for it: one that is made anew is behind for a while, and answers
    peers = [node.peer_at(url) for url in node.settings.peers]
    for peer in peers:
        stack.push_async_callback(peer.aclose)
    asked = await serve_sync(node.bus, node.settings.origin, node.offering, node.pull_from)
    stack.push_async_callback(asked.close)
    for work in (
        node.ingest.run(),
        node.incidents.run(),
        node.incidents.hear_of(damages.found),
        node.projector.run(),
        node.rebuilds.run(),
        node.graph_projector.run(),
        node.side_car_maker.run(),
        node.live.run(),
        node.snapshot.run(node.settings.snapshot_seconds),
        node.archiver.run(),
        node.verifier.run(),
        node.syncing.run(peers, node.settings.sync_seconds),
        node.erasure.run(),
        node.proficiency.run(),
        keep_priced(node.dispatcher.candidates, node.projections),
        _watch(node),
        *(edge.run() for edge in node.edges),
        *(work for spoke in node.spokes.values() for work in spoke.work()),
    ):
        await stack.enter_async_context(running(work))
    sealing = await node.bus.serve(SEAL_COMMAND, node.intake.sealed, queue="vault")
    stack.push_async_callback(sealing.close)


async def _watch(node: Node) -> None:
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        node.bus_held = await ask_bus(node.bus)
        node.reactions.bus_held = node.bus_held
        node.bus_answers = node.bus_held is not None  # a server that hangs leaves its connections open
        node.look()


async def _settle(node: Node, sequence: int) -> None:
    """Wait until nothing is starting any more, and the log holds the bus up to `sequence`.

    What has failed by then is served all the same: health tells.
    """
    node.look()
    while any(part.state == "starting" for part in node.health.subsystems.values()) or (
        node.ingest.status.state == "running" and node.ingest.position < sequence
    ):
        await asyncio.sleep(SETTLE_POLL_SECONDS)
        node.look()


async def _farewell(node: Node) -> None:
    with suppress(BusError, TimeoutError):
        async with asyncio.timeout(FAREWELL_SECONDS_MAX):
            await node.announce(NodeStopped())


async def _close(bus: Bus) -> None:
    """Close the bus; what it can't deliver soon is left to whoever published it, and has no acknowledgement."""
    with suppress(TimeoutError):
        async with asyncio.timeout(BUS_CLOSE_SECONDS_MAX):
            await bus.close()
