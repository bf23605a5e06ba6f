"""`rookery verify`: whether the log is what was written, and if not, where, and what to do."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from ...eventstore import Healed
from ...eventstore.stores import open_store
from ...eventstore.verification import Finding, bytes_to_verify, bytes_to_verify_in, verify_archive
from ...eventstore.verification import verify as find_in_log
from ..client import Client
from ..data_folder import DataFolder
from ..node_key import KEY_FILE, signer_in
from ..settings import Settings
from ..verifying import FINDINGS_MAX, Verified, verified
from .archive import NoLog
from .exits import EXIT_FAILED
from .options import json_option, node_option, setting_options
from .output import plural, remark, show_json, size_text

POLL_SECONDS = 0.2

Find = Callable[..., Iterator[Finding]]
Draw = Callable[[int, int], object]  # how many bytes are done, of how many


@click.command()
@click.option("--deep", is_flag=True, help="Decode every line, and check what is derived from the log, too.")
@click.option("--heal", is_flag=True, help="Heal what is found, from the archive, the bus or a peer that has it.")
@click.option("--projections", is_flag=True, help="Fold the log anew as well, and compare every read model.")
@click.option("--archive", "archive", metavar="PLACE", help="Hold this archive against itself, and not the log.")
@setting_options("data")
@json_option
@node_option
@click.pass_context
def verify(
    context: click.Context,
    client: Client,
    deep: bool,
    heal: bool,
    projections: bool,
    archive: str | None,
    data: str | None,
    as_json: bool,
) -> None:
    """Hold every byte of the log against its manifest, its signatures and its chain.

    What is wrong is told with its file, its place and its events, and with what to do. A running node is asked, and
    serves nothing from then on that it can't vouch for; where none runs, or with --data, the files are read from here,
    also of a log that no longer opens. With --heal, each damaged file is made what it was, from whatever has its bytes;
    what it was before stays beside it, as NAME.damaged. Ends with exit code 1 if anything is wrong and stays so.

    With --archive, the copy in a folder or an S3 bucket is read from here instead, and needs neither node nor log;
    `rookery archive --verify` copies anew what is wrong with it.

    \b
    rookery verify
    rookery verify --deep --json | jq .findings
    rookery verify --data /srv/rookery && echo "nobody changed a byte"
    rookery verify --heal
    rookery verify --projections
    rookery verify --archive s3://colony/archive
    """
    settings = Settings.load({"data": data})
    if archive is not None:
        if heal or projections:
            raise click.UsageError("--archive is for itself: --heal and --projections are about the log")
        found = _of_archive(archive, deep)
    elif _is_from_here(context, settings):
        healed = _heal_here(settings) if heal else []
        found = msgspec.structs.replace(_from_here(settings, deep), healed=healed)
    else:
        found = _by_the_node(client, deep, heal)
    changed = _changed_read_models(client) if projections else []
    if as_json:
        show_json(msgspec.to_builtins(found) | ({"read_models_changed": changed} if projections else {}))
    else:
        _show(found, changed if projections else None)
    if not found.is_sound or changed:
        context.exit(EXIT_FAILED)


def _is_from_here(context: click.Context, settings: Settings) -> bool:
    """Whether no node was named, and none runs, or a folder was named."""
    if context.get_parameter_source("client") is not ParameterSource.DEFAULT:
        return False
    return (
        context.get_parameter_source("data") is ParameterSource.COMMANDLINE or not DataFolder(settings.data).is_owned()
    )


def _heal_here(settings: Settings) -> list[Healed]:
    """Heal the log of a folder that no node runs on. Raises `DataFolderInUse`."""
    from ..healing import heal_offline  # it brings the bus and the peers along

    if not DataFolder(settings.data).log.is_dir():
        raise NoLog(settings.data)
    with DataFolder(settings.data) as folder:
        found = asyncio.run(heal_offline(folder, settings))
    for lost in found.unhealed:
        remark(f"not healed: {lost}")
    return list(found.healed)


def _from_here(settings: Settings, deep: bool) -> Verified:
    folder = DataFolder(settings.data)
    if not folder.log.is_dir():
        raise NoLog(folder.path)
    has_key = (folder.path / KEY_FILE).exists()
    signers = dict.fromkeys(settings.own_origins, signer_in(folder.path).public) if has_key else {}
    find = partial(find_in_log, folder.log, deep=deep, signers=signers, beside_writer=folder.is_owned())
    return _watched(find, deep, bytes_to_verify(folder.log, deep=deep))


def _of_archive(place: str, deep: bool) -> Verified:
    store = open_store(place)
    find = partial(verify_archive, store, deep=deep)
    return _watched(find, deep, bytes_to_verify_in(store, deep=deep))


def _watched(find: Find, deep: bool, total: int) -> Verified:
    done = 0
    with _drawing() as draw:

        def watch(size_bytes: int) -> None:
            nonlocal done
            done += size_bytes
            draw(done, total)

        return verified(find, deep=deep, watch=watch)


def _by_the_node(client: Client, deep: bool, heal: bool) -> Verified:
    """Have it done, and watch meanwhile."""
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(client.post("/verify", b"", deep=deep or None, heal=heal or None))
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)  # Ctrl-C doesn't wait for the node
    with _drawing() as draw:
        thread.start()
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            if thread.is_alive() and (running := client.get("/verify")["running"]):
                draw(running["bytes_done"], running["bytes_total"])
    (answer,) = answers
    if isinstance(answer, BaseException):
        raise answer
    return msgspec.convert(answer, Verified)


def _changed_read_models(client: Client) -> list[str]:
    """The read models that are not what the log says."""
    return list(client.post("/rebuild/verify", b"")["changed"] or [])


@contextmanager
def _drawing() -> Iterator[Draw]:
    """A progress bar, where somebody looks."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    with Progress(
        BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def _show(found: Verified, changed: list[str] | None) -> None:
    for one in found.healed:
        click.echo(f"{click.style('healed  ', fg='green')} {one.origin}/{one.file}: {one.what}; from {one.source}")
    for finding in found.findings:
        word, colour = (
            ("notice", "yellow") if finding.is_notice else ("derived" if finding.derived else "damage", "red")
        )
        place = finding.file if finding.offset is None else f"{finding.file} at byte {finding.offset:,}"
        lines = (
            "" if finding.first is None else f" ({finding.origin}:{finding.first} to {finding.origin}:{finding.last})"
        )
        click.echo(f"{click.style(f'{word:<8}', fg=colour)} {place}{lines}: {finding.what}")
        click.echo(f"         {finding.remedy}")
    if found.more:
        remark(f"there are more: {FINDINGS_MAX:,} findings of a kind in an origin are listed")
    for each in found.stream_drift:
        click.echo(f"{click.style('drift   ', fg='red')} the bus's stream {each}")
        click.echo("         the bus may lose events by that; set it back with a NATS client, or ask who changed it")
    for name in changed or ():
        click.echo(f"{click.style('derived ', fg='red')} the read model {name} is not what the log says")
        click.echo("         `rookery rebuild` makes it anew")
    rate = found.bytes / found.seconds if found.seconds else 0.0
    how = "every line of" if found.deep else "every byte of"
    click.echo(
        f"{plural(len(found.findings), 'finding')} in {how} {size_text(found.bytes)}, read in {found.seconds:.2f} s "
        f"({rate / 10**6:,.0f} MB/s)"
    )
    if changed == []:
        click.echo("every read model is what the log says")
