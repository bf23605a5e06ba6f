"""`rookery schemas`: what events look like, for people and for programs in any language."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from ... import __version__
from ...schemas import InvalidInput, all_types, is_superseded
from ...schemas.errors import ContractBroken
from ...schemas.export import CATALOGUE, ENVELOPE, broken_in, export, outdated_in, schema_of
from .options import csv_option, json_option
from .output import plural, refuse_two_formats, remark, show_json, show_rows

COLUMNS = ["type", "superseded", "fields", "description"]
Folder = click.Path(file_okay=False, path_type=Path)


@click.group()
def schemas() -> None:
    """Show what events look like, write it down for other languages, and hold it to what was written before.

    \b
    rookery schemas list
    rookery schemas show run.completed
    rookery schemas export contract/      JSON Schema of every type, and one AsyncAPI document
    rookery schemas check contract/
    """


@schemas.command("list")
@csv_option
@json_option
def list_(as_json: bool, as_csv: bool) -> None:
    """List the event types. Events of a superseded type are read in the shape of its next version.

    \b
    rookery schemas list
    rookery schemas list --json | jq -r '.[].type'
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    rows = [
        {
            "type": known.name,
            "superseded": is_superseded(known.name),
            "fields": list(known.struct.__struct_fields__) if as_json else ", ".join(known.struct.__struct_fields__),
            "description": (known.struct.__doc__ or "").partition("\n")[0],
        }
        for known in all_types()
    ]
    show_rows(COLUMNS, rows, as_json=as_json, as_csv=as_csv)


def names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """What can be shown, for a shell that completes it."""
    known = [*(known.name for known in all_types()), ENVELOPE, CATALOGUE]
    return [name for name in known if name.startswith(incomplete)]


@schemas.command()
@click.argument("type", metavar="TYPE", shell_complete=names)
def show(type: str) -> None:
    """Print the JSON Schema (2020-12) of whole events of TYPE, of any event's `envelope`, or of a `catalogue`.

    \b
    rookery schemas show run.completed
    rookery schemas show run.completed | jq .properties.data
    """
    click.echo(msgspec.json.format(msgspec.json.encode(schema_of(type)), indent=2))


@schemas.command("export")
@click.argument("folder", metavar="DIR", type=Folder)
@json_option
def export_(folder: Path, as_json: bool) -> None:
    """Write the JSON Schema of every type, and one AsyncAPI document of the bus, into DIR.

    What DIR holds already was promised to somebody: where a type breaks the promise of its schema there, that is said
    with the field, and nothing is written. New optional fields and wider limits break none.

    \b
    rookery schemas export contract/
    """
    written = export(folder, __version__)
    if as_json:
        show_json({"written": written})
    else:
        click.echo(f"{plural(len(written), 'file')} written to {folder}" if written else f"{folder} is up to date")


@schemas.command()
@click.argument("folder", metavar="DIR", type=Folder)
@json_option
def check(folder: Path, as_json: bool) -> int:
    """Say whether DIR is what `export` would write, and whether every type keeps the promise of its schema there.

    \b
    rookery schemas check contract/
    rookery schemas check contract/ --json | jq .breaches
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such folder; `rookery schemas export {folder}` makes it")
    broken, outdated = broken_in(folder), outdated_in(folder, __version__)
    if as_json:
        show_json({"breaches": [breach._asdict() for breach in broken], "outdated": outdated})
    elif broken:
        raise ContractBroken(broken)
    elif outdated:
        click.echo(f"outdated: {', '.join(outdated)}")
        remark(f"`rookery schemas export {folder}` brings it up to date")
    else:
        click.echo(f"{folder} is up to date")
    return 1 if broken or outdated else 0
