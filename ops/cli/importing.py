"""`rookery import`: other systems' records become events; run it again and nothing is there twice."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ...handlers.importers import SOURCES, Progress, Published, Refused, Source, Summary, run_import
from ..client import Client
from .main import EXIT_FAILED
from .options import json_option, node_option
from .output import show_json


@click.group("import")
def import_() -> None:
    """Import recorded work of agents.

    Ids follow from what is imported: who starts an interrupted import again continues it, and a second run of a
    finished one reports that nothing is new. What can't be read is rejected and named; the rest is imported.

    \b
    rookery import azure-llm AzureLLMInferenceTrace_conv.csv --provider openai --model gpt-4o
    rookery import tau-bench gpt-4o-airline.json
    rookery import ndjson events.ndjson --json
    """


def _command(name: str, source: Source) -> click.Command:
    """The command that imports from `source`; its options are the source's own."""

    def run(client: Client, paths: tuple[Path, ...], as_json: bool, **options: str | None) -> None:
        with _progress() as on_progress:
            summary = asyncio.run(run_import(name, paths, options, _publisher(client), on_progress))
        client.publish([], wait="visible")
        show_json(summary) if as_json else _show(summary)
        if summary.rejected:
            click.get_current_context().exit(EXIT_FAILED)

    command = click.command(name, help=source.description)(node_option(json_option(run)))
    for option in reversed(source.options):
        text = option.help + ("  [required]" if option.required else "")
        command = click.option(f"--{option.name}", help=text, show_default=True, default=option.default)(command)
    return click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")(command)


def _publisher(client: Client) -> Callable[[list[bytes]], Any]:
    async def publish(payloads: list[bytes]) -> Published:
        answer = await asyncio.to_thread(client.publish, payloads, wait="logged")
        refused = [Refused(one["index"], _reason(one)) for one in answer["refusals"]]
        return Published(answer["new"], answer["duplicates"], refused)

    return publish


def _reason(refusal: dict[str, Any]) -> str:
    return ": ".join(part for part in (refusal["field"], refusal["reason"]) if part)


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None] | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), DownloadColumn(), TextColumn("{task.fields[events]:,} events"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("import", total=None, events=0)

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.bytes_read, total=progress.bytes_total, events=progress.events)

        yield show


def _show(summary: Summary) -> None:
    click.echo(f"{summary.events:,} events: {summary.new:,} new, {summary.duplicates:,} known already")
    for note in summary.notes:
        click.echo(note, err=True)
    for rejection in summary.rejections:
        where = ", ".join(part for part in (rejection.path, rejection.where) if part)
        click.echo(f"rejected  {where}: {rejection.reason}", err=True)
    if hidden := summary.rejected - len(summary.rejections):
        click.echo(f"rejected  and {hidden:,} more", err=True)


for _name, _source in SOURCES.items():
    import_.add_command(_command(_name, _source))
