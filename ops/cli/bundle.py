"""`rookery bundle`: sync by files, for nodes that never meet."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec
from click.core import ParameterSource

from ...eventstore import Log
from ...schemas import InvalidInput
from ..client import Client
from ..data_folder import DataFolder
from ..settings import Settings
from ..syncing import BundlePeer, Pull, Pulled, export_bundle
from .archive import progress_bar
from .options import json_option, node_option, setting_options
from .output import plural, remark, show_json, size_text
from .sync import SyncIncomplete

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


class InvalidVector(InvalidInput):
    """What should say how far another log is doesn't."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(
            f"{text!r} is not how far a log is; that looks like local:4000, or is what `rookery bundle vector` prints"
        )


@click.group()
def bundle() -> None:
    """Carry events to a node that is never reached: in a file, with all that it needs to be checked.

    The other side says how far it is, this one exports what is missing there, and the other imports it.

    \b
    rookery bundle vector > have.json                       # there
    rookery bundle export news.bundle --since have.json     # here
    rookery bundle import news.bundle                       # there
    """


@bundle.command()
@setting_options("data")
def vector(data: str | None) -> None:
    """Print how far this log is, for `rookery bundle export --since`."""
    with _reading(Settings.load({"data": data})) as log:
        show_json(log.vector())


@bundle.command("export")
@click.argument("file", type=click.Path(dir_okay=False, writable=True, path_type=Path))
@click.option(
    "--since", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="What `vector` printed there."
)
@click.option(
    "--after", "places", metavar="ORIGIN:N", multiple=True, help="What the other log has of an origin already."
)
@setting_options("data")
@json_option
def export(file: Path, since: Path | None, places: tuple[str, ...], data: str | None, as_json: bool) -> None:
    """Write what another log lacks into FILE: everything, unless --since or --after says what is there already.

    \b
    rookery bundle export all.bundle
    rookery bundle export news.bundle --since have.json
    rookery bundle export news.bundle --after local:4000
    """
    settings = Settings.load({"data": data})
    after = (_vector(since.read_text()) if since else {}) | dict(map(_place, places))
    with _reading(settings) as log, progress_bar() as watch:
        contents = export_bundle(log, after, file, watch=watch)
    if as_json:
        show_json(
            {name: {"first": one.state.begin + 1, "last": one.state.last} for name, one in contents.origins.items()}
        )
        return
    click.echo(f"{plural(contents.events, 'event')} in {file}, {size_text(file.stat().st_size)}")
    for name, one in contents.origins.items():
        click.echo(f"  {name}: {one.first:,} to {one.state.last:,}")


@bundle.command("import")
@click.argument("file", type=EXISTING)
@setting_options("data", "origin")
@json_option
@node_option
@click.pass_context
def import_(
    context: click.Context, client: Client, file: Path, data: str | None, origin: str | None, as_json: bool
) -> None:
    """Take what FILE has and this log lacks, each byte checked; what is here already is passed over.

    Where a node runs, it takes it while it serves. An import that was interrupted is simply started again.

    \b
    rookery bundle import news.bundle
    """
    settings = Settings.load({"data": data, "origin": origin})
    is_given = context.get_parameter_source("client") is not ParameterSource.DEFAULT
    if is_given or DataFolder(settings.data).is_owned():
        pulled = msgspec.convert(client.upload("/sync/bundle", file), Pulled)
    else:
        pulled = _into_the_folder(file, settings)
    if as_json:
        show_json(pulled)
    else:
        click.echo(f"{plural(sum(pulled.events.values()), 'event')} taken from {file}")
        for name, n in pulled.events.items():
            click.echo(f"  {name}: {n:,}")
    if pulled.wrong:
        raise SyncIncomplete(pulled.wrong)
    if not pulled.events and not as_json:
        remark("this log has everything that is in it")


def _into_the_folder(file: Path, settings: Settings) -> Pulled:
    with (
        DataFolder(settings.data) as folder,
        Log.open(folder.log, own=settings.own_origins) as log,
        BundlePeer(file) as peer,
        progress_bar() as watch,
    ):
        return asyncio.run(Pull(log, peer, settings.own_origins, watch=watch).run())


def _reading(settings: Settings) -> Log:
    return Log.open(DataFolder(settings.data).log, writable=False)


def _vector(text: str) -> dict[str, int]:
    try:
        return msgspec.json.decode(text, type=dict[str, int])
    except msgspec.MsgspecError:
        raise InvalidVector(text[:100]) from None


def _place(text: str) -> tuple[str, int]:
    origin, _, n = text.rpartition(":")
    if not origin or not n.isdecimal():
        raise InvalidVector(text)
    return origin, int(n)
