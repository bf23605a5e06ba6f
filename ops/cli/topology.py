"""`rookery topology`: configuration for nats-servers and nodes in more than one place."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from ..topology import Written, sites, write_cluster, write_hub
from .options import json_option

_FOLDER = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Where the machines' folders go, one for each.",
)
_AGENTS = click.option(
    "--agent",
    "agents",
    metavar="[SITE/]AGENT",
    multiple=True,
    help="An agent that gets a key of its own, good for its own events and for work. May be repeated.",
)


@click.group()
def topology() -> None:
    """Write ready-to-run configuration for buses in more than one place.

    Each machine gets a folder: nats-server.conf, users.conf with who may do what there, keys/, and the rookery.toml of
    a node. Names stay on this machine, on ports of their own, unless they say where they are. To add names or agents,
    run it again with all of them: keys that are there stay, the rest is written anew.

    \b
    rookery topology hub hub north south --dir sites
    rookery topology cluster a b c --dir cluster
    """


@topology.command()
@click.argument("hub", metavar="HUB[=HOST[:PORT]]")
@click.argument("spokes", metavar="SPOKE[=HOST[:PORT]]...", nargs=-1, required=True)
@_AGENTS
@_FOLDER
@json_option
def hub(hub: str, spokes: tuple[str, ...], agents: tuple[str, ...], folder: Path, as_json: bool) -> None:
    """A hub, and spokes that work on while they are cut off from it.

    \b
    rookery topology hub hub north south --dir sites
    rookery topology hub hub=10.0.0.1 north=10.1.0.1 south=10.2.0.1 --agent north/coder-7 --dir sites
    """
    first, *others = sites([hub, *spokes])
    _tell(write_hub(folder.absolute(), first, others, agents), as_json=as_json)


@topology.command()
@click.argument("servers", metavar="SERVER[=HOST[:PORT]]...", nargs=-1, required=True)
@click.option("--name", default="colony", show_default=True, help="The cluster's name, and its node's origin.")
@_AGENTS
@_FOLDER
@json_option
def cluster(servers: tuple[str, ...], name: str, agents: tuple[str, ...], folder: Path, as_json: bool) -> None:
    """Three servers, or five, of which most keep each event before it is acknowledged.

    \b
    rookery topology cluster a b c --dir cluster
    rookery topology cluster a=10.0.0.1 b=10.0.0.2 c=10.0.0.3 --agent coder-7 --dir cluster
    """
    _tell(write_cluster(folder.absolute(), name, sites(servers), agents), as_json=as_json)


def _tell(written: list[Written], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(written))
        return
    for one in written:
        click.echo(f"{click.style(one.name, bold=True)}  {one.folder}")
        if one.listens:
            click.echo(f"  nats-server -c {one.folder}/nats-server.conf    # {one.listens}")
        if one.has_node:
            click.echo(f"  cd {one.folder} && rookery up")
