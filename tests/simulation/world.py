"""One virtual world: publishers, a bus, two nodes with real logs and read models, and a seed that happens to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from rookery.eventstore import frames, ids, ingest, parts, recovery
from rookery.projections import Catalogue, loader

from .checker import Model, check_alike, check_complete, check_digests, check_folders, check_log, check_read_models
from .clock import VirtualLoop
from .node import Limits, Node
from .traffic import Traffic
from .weather import FaultyDisk, StutteringBus, spoil

STEPS = 200
STEPS_WITH_FOLDS = 80  # which take five times as long as all the rest
FOLDING_CHANCE = 0.25
STEPS_TOLD = 15
PATIENCE_SECONDS = 3_600.0
PAUSES_SECONDS = (0.0, 0.0, 0.02, 0.3, 3.0)

# Bounds that are far away in so short a life are brought near in some worlds.
BOUNDS = {
    (frames, "FRAME_EVENTS_MAX"): (3, frames.FRAME_EVENTS_MAX),
    (ids, "_signed"): (ids._signed, lambda digest: digest[0] % 8),  # hashes that collide
    (ids, "FLUSH_EVENTS_MIN"): (1, 10, ids.FLUSH_EVENTS_MIN),
    (ingest, "GROUP_EVENTS_MAX"): (1, 8, ingest.GROUP_EVENTS_MAX),
    (loader, "EVENTS_THROUGH_PYTHON_MAX"): (40, loader.EVENTS_THROUGH_PYTHON_MAX),
    (loader, "EVENTS_WORTH_A_SEGMENT"): (1, loader.EVENTS_WORTH_A_SEGMENT),
    (recovery, "READ_SIZE_BYTES"): (100, parts.READ_SIZE_BYTES),
}
READ_MODELS = ("assignments", "cost_by_run", "feedback", "llm_calls")
CATALOGUE = Catalogue(map(Catalogue.of_folder().by_name.__getitem__, READ_MODELS))


class Parts(NamedTuple):
    """What a world is made of; a test may put a broken one in its place."""

    bus: Callable[[Random], StutteringBus] = StutteringBus
    disk: Callable[[], FaultyDisk] = FaultyDisk
    catalogue: Catalogue = CATALOGUE


def run(
    seed: int, folder: Path, made_of: Parts | None = None, kind: Callable[[Random, Path, Parts], World] | None = None
) -> list[str]:
    """Live through the world of a seed, and return what happened in it. What fails says how to see it again."""
    chance = Random(seed)
    world = (kind or World)(chance, folder, made_of or Parts())
    try:
        with pytest.MonkeyPatch.context() as patched:
            for (module, bound), values in BOUNDS.items():
                patched.setattr(module, bound, chance.choice(values))
            with asyncio.Runner(loop_factory=lambda: VirtualLoop(chance)) as runner:
                runner.run(world.live())
    except BaseException as error:
        error.add_note("\n".join(["What happened last:", *world.told[-STEPS_TOLD:]]))
        error.add_note(
            f"To see it again: pytest tests/simulation --seed={seed}{f' -k {kind.__name__.lower()}' if kind else ''}"
        )
        raise
    return world.told


class World:
    """All actors. Each step is drawn by chance, and so is everything that an actor does by chance."""

    def __init__(self, chance: Random, folder: Path, made_of: Parts) -> None:
        self.chance = chance
        self.told: list[str] = []
        self._bus = made_of.bus(chance)
        self._disk = made_of.disk
        self._traffic = Traffic(chance)
        self._model = Model()
        self._folds = chance.random() < FOLDING_CHANCE
        limits = self._limits()
        self._nodes = [
            Node(folder / "first", self._bus, limits, made_of.catalogue),
            Node(folder / "second", self._bus, chance.choice((limits, self._limits())), made_of.catalogue),
        ]
        self._steps: dict[Callable[[], Awaitable[object]], float] = {
            self._publish: 40,
            self._fold: 8 * self._folds,
            self._rise: 10,
            self._restart: 2,
            self._kill: 2,
            self._cut_power: 2,
            self._doom: 4,
            self._refuse: 5,
            self._break_off: 3,
            self._forget: 5,
            self._set_clock: 2,
            self._rebuild: 0.5 * self._folds,
            self._check: 1,
        }

    async def live(self) -> None:
        """Everything that happens, and that it did no harm."""
        try:
            for _ in range(STEPS_WITH_FOLDS if self._folds else STEPS):
                (step,) = self.chance.choices(list(self._steps), list(self._steps.values()))
                await step()
                await asyncio.sleep(self.chance.choice(PAUSES_SECONDS))
                for node in self._nodes:
                    await node.look()
            await self._check()
            if self._folds:
                await self._rebuild()
            await self._tidy_up()
        finally:
            for node in self._nodes:
                await node.crash()

    async def _publish(self) -> None:
        parcels = [self._traffic.draw() for _ in range(self.chance.choice((1, 2, 5)))]
        await asyncio.gather(*map(self._bus.send, parcels))
        self._tell(f"published {len(parcels)}; the bus has {len(self._bus.deliveries)}")

    async def _fold(self) -> None:
        node = self._node()
        self._tell(f"{node} folded {await node.fold()}")

    async def _rise(self) -> None:
        node = self._node()
        if not node.up:
            await self._start(node, self._disk())

    async def _restart(self) -> None:
        node = self._node()
        await node.stop()
        self._tell(f"{node} stopped")
        await self._start(node, self._disk())

    async def _kill(self) -> None:
        await self._node_crashes(power_cut=False)

    async def _cut_power(self) -> None:
        await self._node_crashes(power_cut=True)

    async def _node_crashes(self, *, power_cut: bool) -> None:
        node = self._node()
        await node.crash(power_cut=power_cut)
        spoiled = spoil(node.folder, self.chance) if self.chance.random() < 0.3 else "nothing"
        self._tell(f"{node} {'lost its power' if power_cut else 'was killed'}; spoiled: {spoiled}")
        disk = self._disk()
        if self.chance.random() < 0.3:  # the next life may be a short one
            disk.die(self.chance.randint(1, 30), loses_unsynced=power_cut)
        await self._start(node, disk)

    async def _doom(self) -> None:
        node, after, power_cut = self._node(), self.chance.randint(1, 40), self.chance.random() < 0.7
        node.disk.die(after, loses_unsynced=power_cut)
        self._tell(f"{node} will {'lose its power' if power_cut else 'be killed'} in {after} touches")

    async def _refuse(self) -> None:
        node, touches = self._node(), self.chance.randint(1, 15)
        node.disk.refuse(touches)
        self._tell(f"{node}'s disk is full for {touches} touches")

    async def _break_off(self) -> None:
        seconds = self.chance.choice((0.1, 1.0, 20.0))
        self._any_bus().break_off(seconds)
        self._tell(f"the bus is away for {seconds} s")

    async def _forget(self) -> None:
        self._any_bus().forget()
        self._tell("the bus forgot what it must not store twice")

    async def _set_clock(self) -> None:
        ahead = timedelta(seconds=self.chance.choice((-86_400, -0.5, 0, 3_600)))
        self._any_bus().set_clock(ahead)
        self._tell(f"the bus's clock is {ahead} ahead")

    async def _rebuild(self) -> None:
        node = self._node()
        if (report := await node.rebuild()) is not None:
            check_digests("rebuilt and folded", report.digests_after, report.digests_before)
            self._tell(f"{node} rebuilt its read models from {report.events} events")

    async def _check(self) -> None:
        """Let everybody arrive, and compare."""
        acknowledged = self._bus.deliveries
        self._model.follow(acknowledged, self._bus.parcels)
        for node in self._nodes:
            await self._settle(node, len(acknowledged))
            check_log(node.log, self._model, node.folder / "log")
            check_complete(node.log, self._model, node.ingest.position, len(acknowledged))
            if self._folds:
                await node.fold()
                check_read_models(node.models, self._model)
        one, other = self._nodes
        check_alike(one.log, other.log, same_limits=one.limits == other.limits)
        if self._folds:
            check_digests("two nodes", one.models.digests(), other.models.digests())
        self._tell(f"checked {len(self._model.lines)} lines")

    async def _tidy_up(self) -> None:
        """End everybody well and start again: that leaves nothing of what a crash has left behind."""
        for node in self._nodes:
            await node.stop()
            await self._start(node, FaultyDisk())
        one, other = self._nodes
        if one.limits == other.limits:
            check_folders(one.folder / "log", other.folder / "log")

    async def _settle(self, node: Node, sequence: int) -> None:
        node.disk.heal()
        await node.look()
        if not node.up:
            await self._start(node, FaultyDisk())
        async with asyncio.timeout(PATIENCE_SECONDS):
            await node.arrive(sequence)

    async def _start(self, node: Node, disk: FaultyDisk) -> None:
        await node.start(disk)
        self._tell(f"{node} started" if node.up else f"{node} could not start")

    def _node(self) -> Node:
        return self.chance.choice(self._nodes)

    def _any_bus(self) -> StutteringBus:
        return self._bus

    def _limits(self) -> Limits:
        return Limits(self.chance.choice((8, 30, 100)), self.chance.choice((10_000, 100_000)))

    def _tell(self, what: str) -> None:
        self.told.append(f"{asyncio.get_running_loop().time():9.2f} s  {what}")
