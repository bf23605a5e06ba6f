"""`rookery bench`: the benchmarks, each beside a named rival in the same run."""

from __future__ import annotations

import click

from .options import json_option
from .output import show_json, show_rows

NAMES = ["publish", "live", "rebuild", "startup"]


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES), metavar="[NAME]...")
@json_option
def bench(names: tuple[str, ...], as_json: bool) -> None:
    """Measure this machine: publish, live, rebuild, startup; all of them when none is named.

    Each figure stands beside what a named rival did in the same run, where there is one to compare with. Needs the
    extra `bench` (`pip install rookery[bench]`); takes about a minute each.
    """
    from ..bench import BENCHMARKS, Report, machine

    figures = []
    for name in names or NAMES:
        click.echo(f"{name} …", err=True)
        figures += BENCHMARKS[name]()
    if as_json:
        show_json(Report(machine(), figures))
        return
    click.echo(machine())
    columns = ["name", "value", "unit", "ratio", "rival", "rival_value"]
    show_rows(columns, [{name: getattr(figure, name) for name in columns} for figure in figures], as_json=False)
