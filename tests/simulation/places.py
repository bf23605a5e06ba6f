"""A virtual world of two places: each has a bus and a node of its own origin, and the nodes sync over a bad line."""

from __future__ import annotations

import asyncio
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random

import nkeys
from rookery.eventstore import Log, LogDamaged, Signer

from .checker import (
    Broken,
    Model,
    check_alike,
    check_complete,
    check_digests,
    check_folders,
    check_log,
    check_pulled,
    check_read_models,
)
from .node import Node
from .peer import ShakyPeer
from .traffic import Traffic
from .weather import FaultyDisk, StutteringBus, flip
from .world import Parts, World

ORIGINS = ("here", "there")
PULLS_MAX = 500
LIES = (0.0, 0.0, 0.02, 0.5)


class Places(World):
    """The same actors, each in a place of its own. What a node lacks of the other's origin, it pulls from it."""

    def __init__(self, chance: Random, folder: Path, made_of: Parts) -> None:
        super().__init__(chance, folder, made_of)
        self._buses = {origin: made_of.bus(chance) for origin in ORIGINS}
        self._traffics = {origin: Traffic(chance) for origin in ORIGINS}
        self._models = {origin: Model(origin) for origin in ORIGINS}
        self._nodes = [
            Node(
                folder / origin,
                self._buses[origin],
                self._limits(),
                made_of.catalogue,
                origin=origin,
                signer=Signer(nkeys.encode_seed(sha256(origin.encode()).digest(), nkeys.PREFIX_BYTE_SERVER)),
            )
            for origin in ORIGINS
        ]
        self._steps |= {self._sync: 25, self._flip: 3, self._check: 2}

    async def _publish(self) -> None:
        origin = self.chance.choice(ORIGINS)
        parcels = [self._traffics[origin].draw() for _ in range(self.chance.choice((1, 2, 5)))]
        await asyncio.gather(*map(self._buses[origin].send, parcels))
        self._tell(f"published {len(parcels)} {origin}")

    async def _sync(self) -> None:
        taker, giver = self.chance.sample(self._nodes, 2)
        if taker.up and giver.up:
            lies = self.chance.choice(LIES)
            is_up = partial(_lives, giver, giver.log)
            taker.begin_pull(ShakyPeer(giver.log, giver.origin, self.chance, lies=lies, is_up=is_up))
            self._tell(f"{taker} pulls from {giver}{', who lies' if lies else ''}")

    async def _flip(self) -> None:
        """A bit of a file turns over while its node is down. Somebody must notice, or it must not matter."""
        node = self._node()
        await node.crash()
        flipped = flip(node.folder / "log", self.chance)
        if flipped is None:
            return
        path, before = flipped
        node.forget_shown()
        try:
            await self._start(node, FaultyDisk())
            if node.up:
                node.log.verify()
            noticed = False
        except LogDamaged as damage:
            noticed = True
            self._tell(f"{node}'s {damage.path.name}: {damage.what}")
            await self._put_back(node, path.relative_to(node.folder), before)
        self._tell(f"a bit of {node}'s {path.name} flipped; noticed: {noticed}")
        await self._level(self._nodes)

    async def _put_back(self, node: Node, name: Path, before: bytes) -> None:
        """What a person does who has a backup."""
        await node.crash()
        (node.folder / name).write_bytes(before)
        await self._start(node, FaultyDisk())

    async def _check(self) -> None:
        """Let everybody arrive, and let each have what the other has; then compare."""
        await self._level(self._nodes)
        for node in self._nodes:
            for model in self._models.values():
                check_log(node.log, model, node.folder / "log")
            own = self._models[node.origin]
            check_complete(node.log, own, node.ingest.position, len(self._buses[node.origin].deliveries))
            if self._folds:
                await node.fold()
                check_read_models(node.models, *self._models.values())
        one, other = self._nodes
        check_alike(one.log, other.log, same_limits=False)
        if self._folds:
            check_digests("two nodes", one.models.digests(), other.models.digests())
        self._tell(f"checked {sum(len(model.lines) for model in self._models.values())} lines")

    async def _tidy_up(self) -> None:
        """End everybody well, start again, and let them be level: then they have the same files, byte for byte."""
        for node in self._nodes:
            await node.stop()
            await self._start(node, FaultyDisk())
        await self._level(self._nodes)
        one, other = self._nodes
        check_folders(one.folder / "log", other.folder / "log", *ORIGINS)

    def _any_bus(self) -> StutteringBus:
        return self._buses[self.chance.choice(ORIGINS)]

    async def _level(self, nodes: list[Node]) -> None:
        for node in nodes:
            bus = self._buses[node.origin]
            self._models[node.origin].follow(bus.deliveries, bus.parcels)
            await self._settle(node, len(bus.deliveries))
        one, other = nodes
        for _ in range(PULLS_MAX):
            if _what_it_has(one) == _what_it_has(other):
                return
            for taker, giver in ((one, other), (other, one)):
                if (pulled := await taker.pull(ShakyPeer(giver.log, giver.origin, self.chance))) is not None:
                    check_pulled(pulled, lied=False)
        raise Broken(f"two nodes that sync stay apart: {_what_it_has(one)}, {_what_it_has(other)}")


def _lives(node: Node, log: Log) -> bool:
    """Whether this is still the node's log, and not that of a life that has ended."""
    return node.up and node.log is log


def _what_it_has(node: Node) -> dict[str, tuple[int, tuple[int, str]]]:
    return {origin: (last, node.log.sealed_state(origin)) for origin, last in node.log.vector().items() if last}
