"""The folders that a node watches, and what its health and metrics say of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import Metric

from ..families import counter, gauge
from ..health import Health
from .offices import NodeOffice
from .queue import FolderQueue

if TYPE_CHECKING:
    from ..node import Node

SUBSYSTEM = "folders"


class WatchedFolders:
    """One queue for each folder. One that is missing is waited for: the others go on."""

    def __init__(self, node: Node, folders: Sequence[Path]) -> None:
        self.queues = [FolderQueue(folder, NodeOffice(node)) for folder in folders]

    async def run(self) -> None:
        """Look after all of them, for ever."""
        await asyncio.gather(*(queue.run() for queue in self.queues))

    def tell(self, health: Health) -> None:
        """Have health say which folder waits, and for what; nothing where none is watched."""
        troubles = [f"{queue.folder}: {queue.trouble}" for queue in self.queues if queue.trouble]
        if self.queues:
            health.set(SUBSYSTEM, "degraded" if troubles else "ready", "; ".join(troubles))

    def families(self) -> Iterator[Metric]:
        """What was dropped, and what became of it, as metrics."""
        counts = [
            ([str(queue.folder), outcome], count) for queue in self.queues for outcome, count in queue.counts.items()
        ]
        under_way = [([str(queue.folder)], queue.under_way) for queue in self.queues]
        yield counter(
            "folder_tasks", "Task files in watched folders, by what became of them.", ["folder", "outcome"], counts
        )
        yield gauge("folder_tasks_under_way", "Tasks from a folder that are given and not over.", ["folder"], under_way)
