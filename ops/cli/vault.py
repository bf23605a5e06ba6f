"""`rookery forget`, `reveal` and `vault`: whose personal data are readable, by whom, and for how long."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from ...schemas import InvalidInput
from ..client import Client
from .options import json_option, node_option, standard_input
from .output import plural, remark, show_json

PASSPHRASE_VARIABLE = "ROOKERY_VAULT_PASSPHRASE"  # noqa: S105 - the name of one
REVEALED_AT_ONCE_BYTES = 1024 * 1024


class NotConfirmed(InvalidInput):
    """Nobody is there to say yes, and --yes was not given."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        super().__init__(f"forgetting {subject!r} can't be undone; say --yes to do it, or --dry-run to see its reach")


@click.command()
@click.argument("subject")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--dry-run", is_flag=True, help="Only say what it would reach.")
@json_option
@node_option
def forget(client: Client, subject: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Make what was sealed for a person unreadable, everywhere and for ever.

    SUBJECT is the person, as events were published --about them, or the pseudonym that stands in the log. The
    person's key is destroyed; the sealed texts stay where they are, in log, archive, read models, snapshots and on
    other nodes, and nobody can read them. The log still verifies, and a receipt in it tells what was reached. It can't
    be undone. An export of keys, and a copy of the vault's file, is not reached.

    \b
    rookery forget user-17 --dry-run
    rookery forget user-17
    rookery forget user-17 --yes --json
    rookery query forgotten
    """
    if not dry_run and not yes:
        _ask(client, subject)
    answer = _post(client, "/vault/forget", {"subject": subject}, dry_run=dry_run or None)
    if as_json:
        show_json(answer)
    else:
        _show(subject, answer)


@click.command()
@click.argument("texts", nargs=-1)
@click.option("--json", "is_json", is_flag=True, help="What is revealed is JSON, and stays JSON.")
@node_option
def reveal(client: Client, texts: tuple[str, ...], is_json: bool) -> None:
    """Print texts, or standard input, with what is sealed in them revealed.

    What was forgotten is printed as [forgotten], and what another node has the key of as [sealed].

    \b
    rookery tail | rookery reveal --json
    rookery sql "from feedback" --csv | rookery reveal
    rookery reveal "$SEALED"
    """
    if texts:
        for text in texts:
            click.echo(_revealed(client, text.encode(), is_json))
        return
    for lines in _as_they_come(sys.stdin.fileno()):
        click.echo(_revealed(client, lines, is_json), nl=False)


@click.group()
def vault() -> None:
    """The keys of people: how many there are, and taking them to another node.

    The vault is in no archive and no backup: whoever has a copy of a key can read what its person says for as long as
    the copy exists, and forgetting can't reach it. Without the keys nobody reads what is sealed, so keep an export.

    \b
    rookery vault status
    rookery vault export --all --out /media/stick/rookery.keys
    """


@vault.command()
@json_option
@node_option
def status(client: Client, as_json: bool) -> None:
    """How many keys this node has, and how many it destroyed.

    \b
    rookery vault status
    """
    answer = client.get("/vault")
    if as_json:
        show_json(answer)
    else:
        click.echo(f"{plural(answer['keys'], 'key')}; {answer['forgotten']:,} were destroyed")


@vault.command()
@click.argument("subjects", nargs=-1)
@click.option("--all", "everybody", is_flag=True, help="Everybody's keys.")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write; it is new."
)
@node_option
def export(client: Client, subjects: tuple[str, ...], everybody: bool, out: Path) -> None:
    """Write the keys of SUBJECTS, or of everybody, into a file, under a passphrase.

    The passphrase is asked for, or taken from ROOKERY_VAULT_PASSPHRASE. Forgetting does not reach this file: destroy it
    when it has served, or export anew after each forgetting and destroy the one before.

    \b
    rookery vault export user-17 user-18 --out two.keys
    rookery vault export --all --out /media/stick/rookery.keys
    """
    if everybody == bool(subjects):
        raise click.UsageError("Name people, or say --all.")
    asked = {"passphrase": _passphrase(confirm=True)} | ({} if everybody else {"subjects": list(subjects)})
    answer = client.fetch("POST", "/vault/export", content=msgspec.json.encode(asked))
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(answer.content)
    remark(f"written to {out}; whoever has it and the passphrase can read what these people say")


@vault.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@node_option
def import_(client: Client, file: Path, as_json: bool) -> None:
    """Take in the keys of an export, so that this node reads what was sealed with them.

    Whom the log says to be forgotten stays so. From then on forgetting one of these people here or there reaches both
    nodes, once their logs have met.

    \b
    rookery vault import two.keys
    """
    asked = {"passphrase": _passphrase(confirm=False), "export": file.read_text("utf-8", errors="replace")}
    answer = _post(client, "/vault/import", asked)
    if as_json:
        show_json(answer)
        return
    click.echo(f"{plural(answer['new'], 'key')} taken in; {answer['known']:,} were known")
    if answer["forgotten"]:
        remark(f"{plural(answer['forgotten'], 'key')} left out: their people were forgotten")


def _as_they_come(descriptor: int) -> Iterator[bytes]:
    """Whole lines, as many as there are at a time: who follows the log sees them at once."""
    pending = b""
    while part := os.read(descriptor, REVEALED_AT_ONCE_BYTES):
        lines, newline, pending = (pending + part).rpartition(b"\n")
        if newline:
            yield lines + newline
    if pending:
        yield pending


def _ask(client: Client, subject: str) -> None:
    if not sys.stdin.isatty():
        raise NotConfirmed(subject)
    _show(subject, _post(client, "/vault/forget", {"subject": subject}, dry_run=True))
    click.confirm("This can't be undone. Forget?", abort=True)


def _post(client: Client, path: str, asked: dict[str, Any], **parameters: Any) -> Any:
    return client.post(path, msgspec.json.encode(asked), **parameters)


def _revealed(client: Client, text: bytes, is_json: bool) -> str:
    kind = "application/x-ndjson" if is_json else "text/plain"
    return client.fetch("POST", "/vault/reveal", content=text, headers={"content-type": kind}).content.decode()


def _passphrase(*, confirm: bool) -> str:
    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given:
        return given
    if not sys.stdin.isatty():
        return standard_input().decode().rstrip("\r\n")
    asked: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return asked


def _show(subject: str, answer: dict[str, Any]) -> None:
    known = ", ".join(answer["pseudonyms"])
    click.echo(f"{subject} is forgotten, known as {known}" if answer["forgotten"] else f"{subject} is known as {known}")
    found = [f"{events:,} in {origin}" for origin, events in sorted(answer["events_by_origin"].items())]
    click.echo(f"{plural(answer['sealed_events'], 'event')} with sealed texts{': ' * bool(found)}{', '.join(found)}")
    if answer["uncounted_events"]:
        click.echo(f"{answer['uncounted_events']:,} more events are in the archive alone, and were not looked into")
    rows = answer["rows_by_read_model"]
    if rows:
        click.echo("rows: " + ", ".join(f"{count:,} in {name}" for name, count in sorted(rows.items())))
    elif rows is None:
        click.echo("rows: not known, the read models can't be asked")
    state = "unreadable" if answer["forgotten"] else "sealed"
    click.echo(f"{state} in: {', '.join(answer['places'])}")
    if answer["forgotten"] and len(answer["receipts"]) < len(answer["pseudonyms"]):
        remark("the receipt is told when the bus answers again")
