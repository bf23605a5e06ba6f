"""`rookery dead-letters`: what could not be folded or answered, trying it once more, and giving it up."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from ..client import Client
from .options import as_of_option, csv_option, json_option, node_option
from .output import plural, refuse_two_formats, remark, show_json, show_rows
from .table import visible

COLUMNS = ["kind", "address", "entity", "type", "later_events", "reason", "field", "id", "recordedtime"]


@click.group("dead-letters", invoke_without_command=True)
@click.option("--type", "kind", metavar="TYPE", help="Only events of this type, or reactions of this name.")
@click.option("--entity", metavar="KIND/ID", help="Only what is about this, as in run/run-9.")
@click.option("--limit", type=click.IntRange(0, 100_000), default=1000, show_default=True, help="At most so many.")
@as_of_option
@csv_option
@json_option
@node_option
@click.pass_context
def dead_letters(
    context: click.Context,
    client: Client,
    kind: str | None,
    entity: str | None,
    limit: int,
    as_of: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List the events that no read model holds and the reactions that are parked, each with the reason.

    An event is not lost: once a version that knows its type runs, the read models are built anew and hold it. Until
    then later events of its entity are folded past it: LATER_EVENTS says how many. A reaction that failed again and
    again waits until somebody re-drives it, and what happens to the same entity waits behind it.

    \b
    rookery dead-letters
    rookery dead-letters --entity run/run-9
    rookery dead-letters --type run.teleported --as-of 2026-11-17
    rookery dead-letters --json | jq -r '.[].payload'
    rookery dead-letters redrive run/run-9
    rookery dead-letters discard run/run-9 --reason 'the pager that it was for is gone'
    """
    if context.invoked_subcommand:
        return
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    found = client.get("/dead-letters", type=kind, entity=entity, limit=limit, as_of=as_of)
    rows = found if as_json else [{name: one[name] for name in COLUMNS} for one in found]
    show_rows(COLUMNS, rows, as_json=as_json, as_csv=as_csv)


@dead_letters.command()
@click.argument("entity", required=False, metavar="[KIND/ID]")
@click.option("--reaction", metavar="NAME", help="What is parked of this reaction.")
@click.option("--all", "everything", is_flag=True, help="Everything that is parked.")
@click.option("--reason", metavar="TEXT", help="Why, for the record.")
@json_option
@node_option
def redrive(
    client: Client, entity: str | None, reaction: str | None, everything: bool, reason: str | None, as_json: bool
) -> None:
    """Try parked reactions once more: those under an entity, those of a reaction, or all.

    What waits behind one goes on once it is done. If it fails again, it is parked again.

    \b
    rookery dead-letters redrive run/run-9
    rookery dead-letters redrive --reaction alerts.report_failed_run --reason 'the pager answers again'
    rookery dead-letters redrive --all
    """
    which = _which(entity, reaction, everything) | ({"reason": reason} if reason else {})
    _show(client.post("/dead-letters/redrive", msgspec.json.encode(which)), "re-driven", as_json)


@dead_letters.command()
@click.argument("entity", required=False, metavar="[KIND/ID]")
@click.option("--reaction", metavar="NAME", help="What is parked of this reaction.")
@click.option("--all", "everything", is_flag=True, help="Everything that is parked.")
@click.option("--reason", metavar="TEXT", required=True, help="Why they are never to be done; it stays in the log.")
@json_option
@node_option
def discard(
    client: Client, entity: str | None, reaction: str | None, everything: bool, reason: str, as_json: bool
) -> None:
    """Give parked reactions up: they are never done, and what waits behind them goes on.

    \b
    rookery dead-letters discard run/run-9 --reason 'the pager that it was for is gone'
    rookery query reactions --where status=discarded
    """
    which = _which(entity, reaction, everything) | {"reason": reason}
    _show(client.post("/dead-letters/discard", msgspec.json.encode(which)), "discarded", as_json)


def _which(entity: str | None, reaction: str | None, everything: bool) -> dict[str, Any]:
    if bool(entity or reaction) == everything:
        raise click.UsageError("Say which: an entity as in run/run-9, --reaction NAME, or --all.")
    return {"all": True} if everything else {"entity": entity, "reaction": reaction}


def _show(settled: list[dict[str, Any]], verb: str, as_json: bool) -> None:
    if as_json:
        show_json(settled)
        return
    for one in settled:
        click.echo(visible(f"{one['reaction']}  {one['entity']}  {one['cause']}"))
    remark(f"{plural(len(settled), 'reaction')} {verb}")
