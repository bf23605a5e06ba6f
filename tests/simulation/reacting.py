"""A virtual world in which a node answers what happens: each failed assignment once, in its order, come what may."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from rookery.handlers.reactions import Cause, Reactions, Runner, Tell
from rookery.schemas import AlertRaised, AssignmentFailed

from .checker import check_reactions
from .node import Node
from .weather import FaultyDisk
from .world import PATIENCE_SECONDS, Parts, World

PLACE = "reactions.json"
ATTEMPTS_MAX = 1_000  # nothing is to be parked here
PAUSE_SECONDS = 0.5
LOOK_SECONDS = 0.1
FAILURE_CHANCE = 0.2


class ReactingNode(Node):
    """A node that raises an alert over each assignment that failed, now and then at the second attempt only."""

    def __init__(self, *made_of: Any, chance: Random) -> None:
        super().__init__(*made_of)
        self._chance = chance
        self._table = Reactions("world", {AssignmentFailed: [self.raise_alert]})
        self._runner: Runner | None = None
        self._reacting: asyncio.Task[None] | None = None

    async def start(self, disk: FaultyDisk) -> None:
        """Open everything, and go on with what was not answered yet."""
        await super().start(disk)
        if self.up:
            self._runner = Runner(
                self.log,
                self._bus,
                self.origin,
                [self._table],
                self.folder / PLACE,
                disk=disk,
                attempts_max=ATTEMPTS_MAX,
                pause_seconds=lambda _: PAUSE_SECONDS,
            )
            self._reacting = asyncio.create_task(self._runner.run())

    async def look(self) -> None:
        """Notice what the log has gained, too."""
        await super().look()
        if self.up and self._runner:
            self._runner.wake()

    async def raise_alert(self, cause: Cause) -> list[Tell]:
        """Say that the assignment failed."""
        if self._chance.random() < FAILURE_CHANCE:
            raise RuntimeError("not now")
        text = f"{cause.entity.id} failed"
        return [Tell(AlertRaised(kind="assignment_failed", severity="warning", text=text), subject=f"alert-{cause.n}")]

    async def answer(self) -> None:
        """Wait until everything that the log holds is answered."""
        while self._runner and not self._runner.is_idle:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def _end_ingest(self) -> None:
        if self._reacting:
            self._reacting.cancel()
            await asyncio.wait([self._reacting])
            with suppress(BaseException):  # a disk that died has ended it
                self._reacting.exception()
        await super()._end_ingest()


class Reacting(World):
    """The same actors, of whom the first answers."""

    def __init__(self, chance: Random, folder: Path, made_of: Parts) -> None:
        super().__init__(chance, folder, made_of)
        first = self._nodes[0]
        self._first = ReactingNode(folder / str(first), self._bus, first.limits, made_of.catalogue, chance=chance)
        self._nodes[0] = self._first

    async def _check(self) -> None:
        """Let the answers arrive as well, of which each is an event that may come late; then compare."""
        stored = -1
        while stored != (stored := len(self._bus.deliveries)):
            for node in self._nodes:
                await self._settle(node, stored)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._first.answer()
        await super()._check()
        self._tell(f"{check_reactions(self._model, 'world.raise_alert')} failed assignments are answered")
