"""Lives through many virtual worlds, one seed after the other: `make sim SEEDS=500`."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import traceback
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .places import Places
from .reacting import Reacting
from .world import World, run

SEEDS = 200
KINDS = (World, Places, Reacting)


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=SEEDS, show_default=True, help="How many worlds.")
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="The first of the seeds.")
@click.option("--keep-going", is_flag=True, help="Go on after a world that failed.")
def main(seeds: int, first: int, keep_going: bool) -> None:
    """Live through virtual worlds, and tell of each one in which something broke.

    A world is two nodes and whatever can happen to them, all drawn from a seed: the same seed gives the same world.
    Each seed is lived through three times: with two nodes on one bus, with two places that sync over a bad line, and
    with a node that answers what happens. The line that replays a failure is printed with it. Ends with 1 if there was
    one.

    \b
        make sim SEEDS=500
        python -m rookery.tests.simulation --first 1000 --seeds 500 --keep-going
    """
    logging.disable(logging.CRITICAL)  # disks that refuse and a bus that is away are what these worlds are made of
    console, began, failed, lived = Console(stderr=True), time.monotonic(), list[int](), 0
    with _progress(console) as progress:
        worlds = progress.add_task("worlds", total=seeds)
        for seed in range(first, first + seeds):
            lives = [_lives(seed, kind, progress.console) for kind in KINDS]
            if not all(lives):
                failed.append(seed)
            lived += 1
            progress.update(worlds, advance=1, description=f"worlds, {len(failed)} failed")
            if failed and not keep_going:
                break
    seconds = time.monotonic() - began
    click.echo(f"{lived} worlds in {seconds:,.0f} s, {len(failed)} failed{': ' if failed else ''}{failed or ''}")
    sys.exit(1 if failed else 0)


def _lives(seed: int, kind: type[World], console: Console) -> bool:
    try:
        with tempfile.TemporaryDirectory(prefix="rookery-world-") as folder:
            run(seed, Path(folder), kind=kind)
    except Exception:
        console.print(f"seed {seed}, {kind.__name__}\n{traceback.format_exc(limit=-3)}", markup=False, highlight=False)
        return False
    return True


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console)


if __name__ == "__main__":
    main()
