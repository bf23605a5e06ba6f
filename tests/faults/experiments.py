"""What there is to break: each experiment by name, with how often it is done unless told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from . import blocks, cluster, flips, full_disk, robbery, storms
from .rows import Row
from .storms import Tell


class Experiment(NamedTuple):
    """`run(folder, seed, times, tell)` breaks things and says what came of it."""

    run: Callable[[Path, int, int, Tell], Awaitable[list[Row]]]
    times: int


EXPERIMENTS = {
    "kill": Experiment(partial(storms.kill, separate=False), 100),
    "kill-apart": Experiment(partial(storms.kill, separate=True), 110),
    "hang": Experiment(partial(storms.hang, separate=False), 20),
    "hang-apart": Experiment(partial(storms.hang, separate=True), 20),
    "flip": Experiment(flips.flip, 2_000),
    "flip-blocks": Experiment(blocks.flip, 2_000),
    "fill": Experiment(full_disk.fill, 6),
    "lose-leader": Experiment(cluster.lose_leader, 12),
    "split": Experiment(cluster.split, 6),
    "rob": Experiment(robbery.rob, 6),
}
