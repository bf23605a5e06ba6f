"""`rookery bench`: the benchmarks, each beside a named rival in the same run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from ...schemas import RookeryError
from .options import json_option
from .output import remark, show_json, show_rows

if TYPE_CHECKING:
    from ..bench import Figure

NAMES = [
    "publish",
    "live",
    "rebuild",
    "startup",
    "query",
    "live_readers",
    "graph",
    "git",
    "snapshot",
    "otlp",
    "agents",
    "past",
    "trust",
    "sync",
    "proficiency",
    "fleet",
]
COLUMNS = ["name", "value", "unit", "ratio", "rival", "rival_value"]


class ExtraMissing(RookeryError):
    """A benchmark needs a package that the base install leaves out."""

    def __init__(self, package: str | None) -> None:
        self.package = package
        super().__init__(f"the benchmarks need {package or 'more packages'}: pip install 'rookery[bench]'")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES), metavar="[NAME]...")
@json_option
def bench(names: tuple[str, ...], as_json: bool) -> None:
    """Measure this machine: what is named, or everything.

    Each figure stands beside what a named rival did in the same run, where there is one to compare with. Each takes
    about a minute, on a node of its own in a temporary folder; `past`, with up to ten million events, half an hour and
    20 GB; `sync` some minutes. `proficiency` compares ways to rate agents on recorded outcomes in the folder that
    ROOKERY_TEST_DATA names, in some minutes. Needs `pip install 'rookery[bench]'`.

    \b
    rookery bench
    rookery bench publish startup --json
    """
    try:
        figures = list(_figures(names or NAMES))
        from ..bench import Report, machine
    except ModuleNotFoundError as error:
        raise ExtraMissing(error.name) from None
    if as_json:
        show_json(Report(machine(), figures))
        return
    click.echo(machine())
    show_rows(COLUMNS, [{name: getattr(figure, name) for name in COLUMNS} for figure in figures], as_json=False)


def _figures(names: Sequence[str]) -> Iterator[Figure]:
    from ..bench import BENCHMARKS

    for name in names:
        remark(f"{name} …")
        yield from BENCHMARKS[name]()
