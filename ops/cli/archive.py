"""`rookery archive`, `backup` and `restore`: the log's copy in cold storage, and the way back."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from ...eventstore import Log
from ...eventstore.archive import Progress, Watch, unwatched
from ...schemas import InvalidInput
from ..archive import KEEP_DAYS_MAX, SETTINGS_FILE, ArchiveReport, bring_back, copy_out, place_for
from ..client import Client
from ..data_folder import DataFolder
from ..settings import Settings
from .options import FiniteRange, json_option, node_option, setting_options
from .output import plural, remark, show_json, size_text

POLL_SECONDS = 0.2


class NoLog(InvalidInput):
    """There is nothing to archive."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"there is no log in {folder}; name the data folder with --data")


class TrimRefused(InvalidInput):
    """A running node lets nobody else remove its files."""

    def __init__(self, folder: Path, place: str) -> None:
        self.folder = folder
        self.place = place
        super().__init__(
            f"a node runs on {folder}, and only it may trim its log: start it with --archive {place}, and ask it with "
            "`rookery archive --trim`; or leave --trim away"
        )


@click.command()
@click.argument("to", required=False)
@click.option(
    "--trim",
    "trim_days",
    metavar="DAYS",
    type=FiniteRange(0, KEEP_DAYS_MAX),
    help="Leave only in the archive what is older than so many days. 0: all but the newest segment.",
)
@click.option("--verify", is_flag=True, help="Read what was archived before, and copy it anew where it is damaged.")
@setting_options("data")
@json_option
@node_option
@click.pass_context
def archive(
    context: click.Context,
    client: Client,
    to: str | None,
    trim_days: float | None,
    verify: bool,
    data: str | None,
    as_json: bool,
) -> None:
    """Copy the log to cold storage, a folder or an S3 bucket, and read each copied object back.

    Without TO, the node writes the archive that its settings name; so it does by itself every hour. With TO, the copy
    is made from here, of the data folder, whether a node runs on it or not. Only what the archive lacks is copied. What
    is trimmed is kept in the archive alone, and is fetched when somebody asks for it.

    \b
    rookery archive
    rookery archive /mnt/cold/rookery
    rookery archive s3://colony/archive --trim 90
    rookery archive --verify
    """
    settings = Settings.load({"data": data})
    place = to or (settings.archive if _is_alone(context, settings) else None)
    with _explained():
        if place is None:
            report = _by_the_node(client, trim_days, verify)
        else:
            report = _from_here(settings, place, trim_days, verify)
    _show(report, as_json)


@click.command()
@click.argument("target")
@setting_options("data")
@json_option
def backup(target: str, data: str | None, as_json: bool) -> None:
    """Copy everything that can't be derived to a folder or an S3 bucket, while the node runs on.

    It is the whole log at one moment, its open end too, the graph's reference data, and the rookery.toml of the
    folder where the command runs. A backup is an archive: `rookery restore` reads it, and the next one to the same
    place copies only what is new.

    \b
    rookery backup /mnt/backup/rookery
    rookery backup s3://colony/backup --data /srv/rookery
    """
    settings = Settings.load({"data": data})
    folder = DataFolder(settings.data)
    with _explained(), _reading(folder) as log, progress_bar() as watch:
        report = copy_out(log, place_for(target, folder.path), folder.path, watch=watch)
    _show(report, as_json)


@click.command()
@click.argument("place", metavar="FROM")
@setting_options("data")
@json_option
def restore(place: str, data: str | None, as_json: bool) -> None:
    """Make a data folder from nothing but an archive or a backup, each byte held against its hash.

    The log appears when all of it is there; where the command was interrupted, the same command goes on. Read models
    and graph are built from the log when a node starts on the folder.

    \b
    rookery restore /mnt/backup/rookery --data /srv/rookery
    rookery restore s3://colony/archive --data restored && rookery up --data restored
    """
    folder = Settings.load({"data": data}).data
    with _explained(), progress_bar() as watch:
        catalogue = bring_back(place, folder, watch)
    settings = folder / SETTINGS_FILE
    kept = str(settings) if SETTINGS_FILE in catalogue.files else None
    if as_json:
        told = {"data": str(folder), "vector": catalogue.vector, "archived_at": catalogue.written_at}
        show_json(told | {"settings": kept})
        return
    for origin, n in catalogue.vector.items():
        click.echo(f"{plural(n, 'event')} of {origin}, archived at {catalogue.written_at:%Y-%m-%d %H:%M:%S} UTC")
    click.echo(f"rookery up --data {folder}")
    if kept:
        remark(f"the settings that came along are in {kept}")


def _is_alone(context: click.Context, settings: Settings) -> bool:
    """Whether nobody was named to ask, and no node runs here."""
    is_given = context.get_parameter_source("client") is not ParameterSource.DEFAULT
    return not is_given and not DataFolder(settings.data).is_owned()


def _from_here(settings: Settings, place: str, trim_days: float | None, verify: bool) -> ArchiveReport:
    folder = DataFolder(settings.data)
    store = place_for(place, folder.path)
    if trim_days is None:
        with _reading(folder) as log, progress_bar() as watch:
            return copy_out(log, store, folder.path, verify=verify, watch=watch)
    if folder.is_owned():
        raise TrimRefused(folder.path, place)
    _ensure_log(folder)
    with folder, Log.open(folder.log, own=settings.own_origins) as log, progress_bar() as watch:
        log.seal_full_segments()
        return copy_out(log, store, folder.path, keep_days=trim_days, verify=verify, trims=True, watch=watch)


@contextmanager
def _reading(folder: DataFolder) -> Iterator[Log]:
    _ensure_log(folder)
    with Log.open(folder.log, writable=False) as log:
        yield log


def _ensure_log(folder: DataFolder) -> None:
    if not folder.log.is_dir():
        raise NoLog(folder.path)


def _by_the_node(client: Client, trim_days: float | None, verify: bool) -> ArchiveReport:
    """Have it done, and watch meanwhile."""
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(client.post("/hobby/archive", b"", trim_days=trim_days, verify=verify or None))
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)  # Ctrl-C doesn't wait for the node
    with progress_bar() as watch:
        thread.start()
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            if watch is not unwatched and (running := client.get("/hobby/archive")["running"]):
                watch(Progress(running["doing"], running["done"], running["total"]))
    (answer,) = answers
    if isinstance(answer, BaseException):
        raise answer
    return msgspec.convert(answer, ArchiveReport)


@contextmanager
def progress_bar() -> Iterator[Watch]:
    """A progress bar, where somebody looks."""
    if not sys.stderr.isatty():
        yield unwatched
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def draw(progress: Progress) -> None:
            bar.update(task, description=progress.doing, completed=progress.done, total=progress.total or None)

        yield draw


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        remark("nothing is lost; the same command goes on from here")
        raise


def _show(report: ArchiveReport, as_json: bool) -> None:
    if as_json:
        show_json(report)
        return
    events = sum(report.vector.values())
    share = f", {report.compressed_bytes / report.bytes:.1%} of its lines' size" if report.bytes else ""
    click.echo(f"{report.archive} holds {plural(events, 'event')} in {size_text(report.compressed_bytes)}{share}")
    click.echo(
        f"copied and read back {plural(report.copied_objects, 'object')}, {size_text(report.copied_bytes)}, "
        f"in {report.seconds:.2f} s"
    )
    if report.trimmed_segments:
        click.echo(f"trimmed {plural(report.trimmed_segments, 'segment')}")
    if report.freed_bytes:
        click.echo(f"freed {size_text(report.freed_bytes)} that the archive alone keeps now")
    if report.waiting_bytes:
        remark(f"{size_text(report.waiting_bytes)} are being read right now, and go with a later archiving")
