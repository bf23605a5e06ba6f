"""`make faults`: real servers and real nodes are killed, stopped, robbed and cut off, and nothing may be lost."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import randrange

import click
from rich.console import Console
from rich.table import Table

from .experiments import EXPERIMENTS
from .rows import COLUMNS, Row, write, written

TABLE_CHARS = 180


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(EXPERIMENTS)), help="Only these; may be given again.")
@click.option("--seed", type=int, help="Draws the same faults again. Without it, a new one is drawn, and told.")
@click.option("--times", type=click.IntRange(1), help="How often each fault; without it, each has its own measure.")
@click.option("--write", "document", type=click.Path(path_type=Path), help="Put the rows into this document's table.")
@click.option("--quiet", is_flag=True, help="Only the table.")
def main(only: tuple[str, ...], seed: int | None, times: int | None, document: Path | None, quiet: bool) -> None:
    """Break what can break, while publishers publish as fast as they can, and count what was lost.

    Every event is noted before it is sent and every acknowledgement when it comes. After each fault the log is held
    against the notes, line by line. Ends with 1 if anything was lost, doubled, altered, or damaged in silence.

    \b
        make faults
        python -m rookery.tests.faults --only kill --times 20 --seed 7
        python -m rookery.tests.faults --write docs/reliability.md
    """
    logging.disable(logging.CRITICAL)  # that connections break is what this is about
    console = Console(stderr=True)
    seed = randrange(2**32) if seed is None else seed
    rows: list[Row] = []
    failed = False
    for name in only or EXPERIMENTS:
        began = time.monotonic()
        tell = (lambda _: None) if quiet else (lambda text: click.echo(text, err=True))
        tell(f"{name}, seed {seed}")
        folder = Path(tempfile.mkdtemp(prefix=f"rookery-{name}-"))
        try:
            rows += asyncio.run(EXPERIMENTS[name].run(folder, seed, times or EXPERIMENTS[name].times, tell))
        except Exception:
            failed = True
            console.print_exception()
            console.print(f"{name} failed; its files are in {folder}. Again: --only {name} --seed {seed}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
        tell(f"{name}: {time.monotonic() - began:,.0f} s")
        if document and rows:
            write(document, rows)
    _show(rows)
    sys.exit(1 if failed or any(row.is_broken for row in rows) else 0)


def _show(rows: list[Row]) -> None:
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*written(row), style="red" if row.is_broken else None)
    Console(width=TABLE_CHARS).print(table)


if __name__ == "__main__":
    main()
