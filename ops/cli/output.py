"""How answers are shown: tables for people, JSON and CSV for programs, remarks on standard error."""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from .table import CELL_CHARACTERS_MAX, harmless, plain, table


def show_json(content: Any) -> None:
    """One JSON document, on one line."""
    click.echo(msgspec.json.encode(content))


def show_rows(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    *,
    as_json: bool,
    as_csv: bool = False,
    hide_empty: bool = False,
    cell_characters_max: int = CELL_CHARACTERS_MAX,
) -> None:
    """Rows as a JSON array, as CSV, or as a table. `hide_empty`: a table without columns that have no values."""
    if as_json:
        show_json(rows)
    elif as_csv:
        _show_csv(columns, rows)
    else:
        _show_table(columns, rows, hide_empty, cell_characters_max)


def remark(text: str) -> None:
    """Something that the user should know and that is no part of the answer."""
    click.echo(harmless(text), err=True)


def plural(count: int, noun: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size_text(size_bytes: int) -> str:
    """`512 bytes`, `1.5 KiB`, `2,048.0 MiB`."""
    if size_bytes < 2**10:
        return plural(size_bytes, "byte")
    return f"{size_bytes / 2**10:,.1f} KiB" if size_bytes < 2**20 else f"{size_bytes / 2**20:,.1f} MiB"


def refuse_two_formats(*, as_json: bool, as_csv: bool, as_arrow: bool = False) -> None:
    """Raises `UsageError` where more than one is asked for."""
    if as_json + as_csv + as_arrow > 1:
        raise click.UsageError("--json, --csv and --arrow exclude each other: choose one.")


def _show_page(text: str, lines: int) -> None:
    """Through a pager where a person looks and the screen is too small; never into a pipe."""
    if sys.stdin.isatty() and sys.stdout.isatty() and lines >= shutil.get_terminal_size().lines:
        click.echo_via_pager(text)
    else:
        click.echo(text)


def _show_csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: plain(value) for name, value in row.items()} for row in rows)
    click.echo(text.getvalue(), nl=False)


def _show_table(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], hide_empty: bool, cell_characters_max: int
) -> None:
    filled = [name for name in columns if any(row[name] is not None for row in rows)] if hide_empty else []
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    shown = table(filled or columns, rows, width=width, cell_characters_max=cell_characters_max)
    head, *body = shown.lines
    _show_page("\n".join([click.style(head, bold=True), *body]), len(body) + 1)
    remarks = [plural(len(rows), "row")]
    if hidden := len(columns) - len(shown.columns):
        remarks.append(f"{plural(hidden, 'column')} not shown")
    if shown.cut:
        remarks.append("… is where a value was cut")
    if len(remarks) > 1:
        remarks.append("--json has everything")
    remark("; ".join(remarks))
