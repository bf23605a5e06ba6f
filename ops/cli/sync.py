"""`rookery sync`: copy between this node and another what either lacks."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal

import click
import msgspec
from click.core import ParameterSource

from ...eventstore import Log
from ...eventstore.archive import Progress, Watch, unwatched
from ...schemas import InvalidInput, RookeryError
from ..client import Client
from ..data_folder import DataFolder
from ..settings import Settings
from ..syncing import HttpPeer, LogPeer, NatsPeer, Pull, Pulled, is_on_nats, peer_at
from ..syncing import recover_own as recovered_own
from .archive import progress_bar
from .options import json_option, node_option, setting_options
from .output import plural, remark, show_json, size_text

POLL_SECONDS = 0.2

Direction = Literal["both", "pull", "push"]


class SyncIncomplete(RookeryError):
    """Something could not be copied; what could is there."""

    def __init__(self, wrong: list[str]) -> None:
        self.wrong = wrong
        super().__init__("; ".join(wrong))


class NoNodeToPullFrom(InvalidInput):
    """The other node can only pull from one that runs."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        super().__init__(
            f"{peer} can only copy from a node that runs, and none runs here: `rookery up` first, or --pull"
        )


@click.command()
@click.argument("peer", metavar="PEER")
@click.option("--both", "direction", flag_value="both", default="both", help="Copy both ways.  [default]")
@click.option("--pull", "direction", flag_value="pull", help="Only copy from PEER to this node.")
@click.option("--push", "direction", flag_value="push", help="Only have PEER copy from this node.")
@click.option("--recover-own", is_flag=True, help="Complete this node's own history, restored from an older state.")
@setting_options("data", "origin")
@json_option
@node_option
@click.pass_context
def sync(
    context: click.Context,
    client: Client,
    peer: str,
    direction: Direction,
    recover_own: bool,
    data: str | None,
    origin: str | None,
    as_json: bool,
) -> None:
    """Copy between this node and another what either lacks: only that, verbatim, each byte checked.

    PEER is the URL of a node: http://HOST:PORT, or nats://HOST:PORT/NODE on a bus that both reach, by themselves or
    over leaf nodes; nats:///NODE is on this node's own. Afterwards both hold the same logs. Each node pulls for itself,
    so PEER has to reach this one, too; for nodes that never meet there is `rookery bundle`. Where no node runs here,
    the data folder is brought up to date, and PEER may also be a data folder.

    An origin that has two histories is named and left as it is, and the command fails: docs/howto/sync.md says what to
    do then.

    \b
    rookery sync http://east:8800
    rookery sync http://east:8800 --pull --json
    rookery sync http://east:8800 --recover-own
    rookery sync nats:///north
    """
    settings = Settings.load({"data": data, "origin": origin})
    is_given = context.get_parameter_source("client") is not ParameterSource.DEFAULT
    runs = is_given or DataFolder(settings.data).is_owned()
    if recover_own:
        pulled = {"recovered": _recover(peer, settings)}
    elif runs:
        pulled = _between_nodes(client, peer, direction, settings)
    else:
        if direction == "push":
            raise NoNodeToPullFrom(peer)
        pulled = {"pulled": _into_the_folder(peer, settings)}
    _show(pulled, as_json)
    if wrong := [line for one in pulled.values() for line in one.wrong]:
        raise SyncIncomplete(wrong)


def _between_nodes(client: Client, peer: str, direction: Direction, settings: Settings) -> dict[str, Pulled]:
    done = {}
    if direction != "push":
        done["pulled"] = _by_a_node(client, peer)
    if direction != "pull" and is_on_nats(peer):
        done["pushed"] = asyncio.run(_over_nats(client, peer, settings))
    elif direction != "pull":
        with Client(peer) as other:
            done["pushed"] = _by_a_node(other, client.url)
    return done


async def _over_nats(client: Client, peer: str, settings: Settings) -> Pulled:
    """Have a node that shares a bus with this one, or one that is connected with it, pull over its own."""
    bus_url = settings.nats_url or client.get("/status")["bus"]["url"]
    own = client.get("/status")["node"]["origin"]
    async with aclosing(NatsPeer(peer, bus_url=bus_url, credentials=settings.nats_credentials)) as asked:
        return await asked.have_it_pull(f"nats:///{own}")


def _by_a_node(client: Client, peer: str) -> Pulled:
    """Have a node pull, and watch meanwhile."""
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(client.post("/sync", b"", peer=peer))
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)  # Ctrl-C doesn't wait for the node
    with progress_bar() as watch:
        thread.start()
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            if watch is unwatched or not thread.is_alive():
                continue
            for one in client.get("/sync")["peers"]:
                if one["peer"] == peer.rstrip("/") and one["doing"]:
                    watch(Progress(one["doing"], one["done"], one["total"]))
    (answer,) = answers
    if isinstance(answer, BaseException):
        raise answer
    return msgspec.convert(answer, Pulled)


def _into_the_folder(peer: str, settings: Settings) -> Pulled:
    with (
        DataFolder(settings.data) as folder,
        Log.open(folder.log, own=settings.own_origins) as log,
        progress_bar() as watch,
    ):
        return asyncio.run(_pull(log, peer, settings.own_origins, watch))


def _recover(peer: str, settings: Settings) -> Pulled:
    with DataFolder(settings.data) as folder, progress_bar() as watch:
        return asyncio.run(_recovered(peer, folder, settings, watch))


def _reached(peer: str) -> HttpPeer | NatsPeer:
    settings = Settings.load()
    return peer_at(peer, bus_url=settings.nats_url, credentials=settings.nats_credentials)


async def _recovered(peer: str, folder: DataFolder, settings: Settings, watch: Watch) -> Pulled:
    async with aclosing(_reached(peer)) as asked:
        pulled = await recovered_own(folder.log, settings.origin, asked, watch=watch)
    if pulled.events:
        folder.restored.touch()
    return pulled


async def _pull(log: Log, peer: str, own: tuple[str, ...], watch: Watch) -> Pulled:
    if "://" not in peer:
        with Log.open(Path(peer) / "log", writable=False) as theirs:
            return await Pull(log, LogPeer(theirs), own, watch=watch).run()
    async with aclosing(_reached(peer)) as asked:
        return await Pull(log, asked, own, watch=watch).run()


def _show(pulled: dict[str, Pulled], as_json: bool) -> None:
    if as_json:
        show_json(pulled)
        return
    words = {"pulled": "copied from {}", "pushed": "copied to the peer from {}", "recovered": "recovered from {}"}
    for name, one in pulled.items():
        total = sum(one.events.values())
        click.echo(f"{plural(total, 'event')} {words[name].format(one.peer)}, {size_text(one.bytes)}")
        for origin, n in one.events.items():
            click.echo(f"  {origin}: {n:,}")
    if any(one.behind for one in pulled.values()):
        remark("--recover-own completes this node's own history; docs/howto/sync.md says when that is right")
