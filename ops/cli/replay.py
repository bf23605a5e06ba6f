"""`rookery replay`: the log's events once more, for whoever wants to see them happen again."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from ...bus import ReplayBus
from ...eventstore import Log, Record, Replay, Wish
from ...projections import moment_of
from ...schemas import Mark, RookeryError, replay_name, replay_subjects
from ..data_folder import DataFolder
from ..replay import BusSink, FileSink, Pace, Progress, Sink, StreamSink, place_to_resume, tell_all
from ..seen import Filters, Seen
from ..settings import Settings
from .options import FiniteRange, json_option, setting_options
from .output import plural, remark, show_json

BUS = "bus"
BUS_SCHEMES = ("nats", "tls", "ws", "wss")
SPEED = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)x")
SPEED_MAX = 1e6
PACES = "recorded, as fast as it happened; 10x, ten times as fast; fastest"


class NoLog(RookeryError):
    """There is no log in the data folder. Replaying needs the folder, not the node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"there is no log in {folder}; name the data folder that has one with --data")


class NoNode(RookeryError):
    """No node runs on the data folder, whose bus would be meant."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"no node runs on {folder}; start it with `rookery up`, or name a bus by its nats:// URL")


@click.command()
@click.argument("target", default="-")
@click.option("--name", default="past", show_default=True, help="The replay's name, a part of its subjects.")
@click.option("--from", "begin", default="start", show_default=True, metavar="MOMENT", help="Begin behind this moment.")
@click.option("--to", "end", default="now", show_default=True, metavar="MOMENT", help="End with what was known then.")
@click.option("--type", "types", multiple=True, help="Only this event type, or all of a kind: run.*; may be repeated.")
@click.option("--entity", help="Only this entity's, KIND/ID, as in run/run-9.")
@click.option("--agent", help="Only what this agent did, or what is about it.")
@click.option("--source", help="Only from this source, as in /agents/coder-7.")
@click.option("--origin", "origins", multiple=True, help="Only what came by this node's bus; may be repeated.")
@click.option("--pace", default="fastest", show_default=True, help=f"How fast: {PACES}.")
@click.option("--pause-max", type=FiniteRange(min=0), metavar="SECONDS", help="With a pace: no longer pauses.")
@click.option("--resume", is_flag=True, help="Go on behind what the target has of this replay.")
@click.option("--unkept", is_flag=True, help="On a bus: for who listens right now, with no stream that keeps it.")
@click.option("--forget", is_flag=True, help="On a bus: tell nothing, and delete the stream of this replay.")
@setting_options("data")
@json_option
def replay(
    target: str,
    name: str,
    begin: str,
    end: str,
    types: tuple[str, ...],
    entity: str | None,
    agent: str | None,
    source: str | None,
    origins: tuple[str, ...],
    pace: str,
    pause_max: float | None,
    resume: bool,
    unkept: bool,
    forget: bool,
    data: str | None,
    as_json: bool,
) -> None:
    """Tell the log's events once more: on standard output, into a file, or on a bus.

    TARGET is a file, of NDJSON or, named .zst, compressed; `bus`, the running node's; a NATS URL; or - for standard
    output. Events come as they were published, ids included, with a mark in front: `replayname`, `replayaddress`
    (local:41), `replayrecorded` and `replayposition`. A bus has them on replay.NAME.> instead of evt.>, in a stream
    REPLAY-NAME, and no node takes what is so marked for a new fact. The log is read from the data folder, whether or
    not its node runs.

    \b
    rookery replay --from 2026-11-17 --to 2026-11-18 --type 'run.*'
    rookery replay tuesday.ndjson.zst --from 2026-11-17 --to 2026-11-18
    rookery replay bus --name what-if --agent coder-7 --from '3 days ago' --pace 10x --pause-max 2
    rookery replay nats://test:4222 --name load --resume
    rookery replay bus --name what-if --forget

    A moment is a time at which the log learnt of things (2026-11-17, 2026-11-17T09:00+02:00, '3 days ago'), a place in
    it (local:41), start or now. Interrupt it whenever you like: the same command with --resume goes on, with nothing
    left out and nothing told twice; it must be the same command, filters and all. Standard output keeps nothing: there,
    --from the last event's replayposition.
    """
    settings = Settings.load({"data": data})
    asked = _Asked(target, replay_name(name), _pace(pace, pause_max), resume, unkept)
    filters = Filters.of(types, entity, agent, source)
    asked.refuse_what_cannot_be()
    folder = DataFolder(settings.data)
    if forget:
        _forget(asked, folder, as_json=as_json)
        return
    if not folder.log.is_dir():
        raise NoLog(folder.path)
    with Log.open(folder.log, writable=False) as log:
        after, last = moment_of(begin, log), moment_of(end, log)
        _refuse_backwards(begin, end, after, last)
        up_to = _only(origins, last)
        with _display(asked) as display, _explained(display, asked):
            told = asyncio.run(_run(log, after, up_to, filters, asked, folder, display))
    _show(told, asked, as_json=as_json)


class _Asked(NamedTuple):
    """Where and how to tell it."""

    target: str
    name: str
    pace: Pace
    resume: bool
    unkept: bool

    @property
    def is_output(self) -> bool:
        return self.target == "-"

    @property
    def is_bus(self) -> bool:
        return self.target == BUS or "://" in self.target

    def refuse_what_cannot_be(self) -> None:
        """Raises `UsageError`."""
        scheme, mark, _ = self.target.partition("://")
        if mark and scheme not in BUS_SCHEMES:
            raise click.UsageError(f"{self.target!r} is no bus; one looks like nats://127.0.0.1:4222.")
        if self.unkept and not self.is_bus:
            raise click.UsageError("--unkept is about a bus: name one, or leave it out.")
        if self.resume and (self.unkept or self.is_output):
            raise click.UsageError("--resume needs a target that keeps what it was told: a file, or a bus's stream.")

    async def sink(self, folder: DataFolder) -> Sink:
        """The target, opened."""
        if self.is_bus:
            return BusSink(await self._bus(folder, kept=not self.unkept))
        return StreamSink(sys.stdout.buffer) if self.is_output else FileSink(Path(self.target))

    async def forget(self, folder: DataFolder) -> bool:
        """Delete what the bus keeps of it; False if that is nothing."""
        bus = await self._bus(folder, kept=False)
        try:
            return await bus.forget()
        finally:
            await bus.close()

    async def _bus(self, folder: DataFolder, *, kept: bool) -> ReplayBus:
        credentials = Settings.load().nats_credentials
        return await ReplayBus.connect(self._url(folder), self.name, kept=kept, credentials=credentials)

    def _url(self, folder: DataFolder) -> str:
        if self.target != BUS:
            return self.target
        node = folder.running()
        if node is None:
            raise NoNode(folder.path)
        return node.nats_url


def _forget(asked: _Asked, folder: DataFolder, *, as_json: bool) -> None:
    if not asked.is_bus:
        raise click.UsageError("--forget is about a bus: name one. A file you may delete yourself.")
    was_there = asyncio.run(asked.forget(folder))
    if as_json:
        show_json({"name": asked.name, "forgotten": was_there})
    else:
        click.echo(f"{replay_subjects(asked.name)} is forgotten" if was_there else "there was nothing to forget")


async def _run(
    log: Log,
    after: dict[str, int],
    up_to: dict[str, int],
    filters: Filters,
    asked: _Asked,
    folder: DataFolder,
    display: _Display,
) -> Progress:
    def fits(mark: Mark) -> bool:
        found = moment_of(mark.replayaddress, log).items()
        records = [log.get(origin, n) for origin, n in found if n <= up_to.get(origin, 0)]
        return any(record is not None and filters.admits(Seen.of(record, "")) for record in records)

    sink = await asked.sink(folder)
    try:
        place = await place_to_resume(sink, asked.name, resume=asked.resume, fits=fits)
        behind = after if place is None else moment_of(place, log)
        return await tell_all(
            Replay(log, asked.name, after=behind, up_to=up_to, wish=_wish(filters)), sink, asked.pace, display.show
        )
    finally:
        await sink.close()


def _wish(filters: Filters) -> Wish:
    def is_agents(record: Record) -> bool:
        return filters.admits(Seen.of(record, ""))

    return Wish(filters.types, filters.entity, filters.source, is_agents if filters.agent is not None else None)


def _refuse_backwards(begin: str, end: str, after: Mapping[str, int], last: Mapping[str, int]) -> None:
    """Raises `UsageError` where the stretch ends before it begins. One that is empty may grow yet."""
    origins = after.keys() | last.keys()
    if after != last and all(last.get(origin, 0) <= after.get(origin, 0) for origin in origins):
        raise click.UsageError(f"--to {end!r} is before --from {begin!r}: nothing lies in between; swap them.")


def _only(origins: Collection[str], vector: Mapping[str, int]) -> dict[str, int]:
    """The vector, for the origins that are wished for."""
    for origin in origins:
        if origin not in vector:
            raise click.BadParameter(
                f"no origin {origin!r} is in the log by then; there are {', '.join(vector) or 'none'}.",
                param_hint="--origin",
            )
    return {origin: n for origin, n in vector.items() if not origins or origin in origins}


def _pace(text: str, pause_seconds_max: float | None) -> Pace:
    if text == "fastest":
        return Pace()
    speed = 1.0 if text == "recorded" else float(found[1]) if (found := SPEED.fullmatch(text)) else 0.0
    if not 0 < speed <= SPEED_MAX:
        raise click.BadParameter(f"{text!r} is no pace; there are {PACES}.", param_hint="--pace")
    return Pace(speed, pause_seconds_max)


class _Display:
    """How far a replay is, on the terminal if there is one."""

    def __init__(self, draw: Callable[[Progress], None] | None = None) -> None:
        self.told = 0
        self.position = ""
        self._draw = draw

    def show(self, progress: Progress) -> None:
        self.told, self.position = progress.told, progress.position
        if self._draw:
            self._draw(progress)


@contextmanager
def _display(asked: _Asked) -> Iterator[_Display]:
    if not sys.stderr.isatty() or (asked.is_output and sys.stdout.isatty()):
        yield _Display()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TextColumn("{task.fields[told]:,} events"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("replay", total=None, told=0)

        def draw(progress: Progress) -> None:
            bar.update(task, completed=progress.seen, total=progress.total, told=progress.told)

        yield _Display(draw)


@contextmanager
def _explained(display: _Display, asked: _Asked) -> Iterator[None]:
    """Say how to go on with a replay that comes to no end."""
    try:
        yield
    except (KeyboardInterrupt, RookeryError, OSError):
        if display.told and not isinstance(sys.exc_info()[1], BrokenPipeError):
            how = f"--from {display.position}" if asked.is_output or asked.unkept else "--resume"
            remark(f"{plural(display.told, 'event')} told; the same command with {how} goes on from there")
        raise


def _show(told: Progress, asked: _Asked, *, as_json: bool) -> None:
    """Where standard output has the events, this goes beside it."""
    if as_json:
        answer = {"name": asked.name, "target": asked.target, "events": told.told, "left_out": told.left_out}
        click.echo(msgspec.json.encode(answer | {"position": told.position}), err=asked.is_output)
        return
    if asked.is_output and not told.left_out:
        return
    where = "" if asked.is_output else f" in {asked.target}"
    if asked.is_bus:
        where = f" on {replay_subjects(asked.name)}"
    click.echo(f"{plural(told.told, 'event')}{where}", err=asked.is_output)
    if told.left_out:
        remark(f"{plural(told.left_out, 'event')} left out: dead letters, or too large for the bus with their mark")
