"""`rookery import`: other systems' records become events; run it again and nothing is there twice."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from ...handlers.importers import SOURCES, Progress, Published, Refused, Source, Summary, run_import
from ...schemas import RookeryError
from ..client import Client
from .exits import EXIT_FAILED
from .options import json_option, node_option
from .output import plural, remark, show_json
from .table import visible

ABOUT = "Whom all of it is about: personal fields are sealed with that person's key."


@click.group("import")
def import_() -> None:
    """Import recorded work of agents.

    Ids follow from what is imported: who starts an interrupted import again continues it, and a second run of a
    finished one reports that nothing is new. What can't be read is rejected and named (exit code 1); the rest is
    imported. A folder stands for the files in it.

    \b
    rookery import azure-llm AzureLLMInferenceTrace_conv.csv --provider openai --model gpt-4o
    rookery import tau-bench gpt-4o-airline.json
    rookery import who-and-when Algorithm-Generated/
    rookery import sweagent trajectories/ --provider openai --model gpt-4o
    rookery import git .
    rookery import otlp traces.jsonl
    rookery import langfuse observations.json
    rookery import openai-usage usage.json
    rookery import ndjson events.ndjson --json
    """


def _command(name: str, source: Source) -> click.Command:
    """The command that imports from `source`; its options are the source's own."""

    def run(client: Client, paths: tuple[Path, ...], about: str | None, as_json: bool, **options: str | None) -> None:
        with _display() as display, _explained(display):
            summary = asyncio.run(run_import(name, paths, options, publisher(client, about), display.show))
            client.publish([], wait="visible")
        show_json(summary) if as_json else _show(summary)
        if summary.rejected:
            click.get_current_context().exit(EXIT_FAILED)

    parts = [click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")]
    for one in source.options:
        default: dict[str, Any] = {} if one.default is None else {"default": one.default, "show_default": True}
        parts.append(click.option(f"--{one.name}", help=one.help, required=one.required, **default))
    parts.append(click.option("--about", metavar="PERSON", help=ABOUT))
    for part in reversed([*parts, json_option, node_option]):
        run = part(run)
    return click.command(name, help=source.description, short_help=source.description)(run)


def publisher(client: Client, about: str | None = None) -> Callable[[list[bytes]], Any]:
    """What publishes an import's chunks to the node, `about` the person whom they are about, where it is one."""
    named = b'{"datasubject":%s,' % msgspec.json.encode(about)

    async def publish(payloads: list[bytes]) -> Published:
        if about is not None:
            payloads = [one if b'"datasubject":' in one else named + one[1:] for one in payloads]
        answer = await asyncio.to_thread(client.publish, payloads, wait="logged")
        refused = [Refused(one["index"], _reason(one)) for one in answer["refusals"]]
        return Published(answer["new"], answer["duplicates"], refused)

    return publish


def _reason(refusal: dict[str, Any]) -> str:
    return ": ".join(part for part in (refusal["field"], refusal["reason"]) if part)


class _Display:
    """How far an import is, on the terminal if there is one."""

    def __init__(self, draw: Callable[[Progress], None] | None = None) -> None:
        self.events = 0
        self._draw = draw

    def show(self, progress: Progress) -> None:
        self.events = progress.events
        if self._draw:
            self._draw(progress)


@contextmanager
def _display() -> Iterator[_Display]:
    if not sys.stderr.isatty():
        yield _Display()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), DownloadColumn(), TextColumn("{task.fields[events]:,} events"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("import", total=None, events=0)

        def draw(progress: Progress) -> None:
            total = progress.bytes_total or None
            bar.update(task, completed=progress.bytes_read, total=total, events=progress.events)

        yield _Display(draw)


@contextmanager
def _explained(display: _Display) -> Iterator[None]:
    """Say where an import stands that comes to no end."""
    try:
        yield
    except (KeyboardInterrupt, RookeryError) as error:
        if display.events:
            remark(f"{plural(display.events, 'event')} in the log so far; the same command goes on from there")
        elif isinstance(error, KeyboardInterrupt):
            remark("the same command goes on from here")
        raise


def _show(summary: Summary) -> None:
    rejected = f", {summary.rejected:,} rejected" if summary.rejected else ""
    click.echo(
        f"{plural(summary.events, 'event')}: {summary.new:,} new, {summary.duplicates:,} known already{rejected}"
    )
    for note in summary.notes:
        remark(note)
    for rejection in summary.rejections:
        where = ", ".join(part for part in (rejection.path, rejection.where) if part)
        remark(f"rejected  {visible(f'{where}: {rejection.reason}')}")
    if hidden := summary.rejected - len(summary.rejections):
        remark(f"rejected  and {hidden:,} more")


for _name, _source in SOURCES.items():
    import_.add_command(_command(_name, _source))
