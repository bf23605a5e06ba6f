"""How answers are shown: tables for people, JSON and CSV for programs, errors on standard error."""

from __future__ import annotations

import csv
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import click
import msgspec

CELL_CHARACTERS_MAX = 60
GAP = "  "
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e-?[0-9]+)?")


def show_json(content: Any) -> None:
    """One JSON document, on one line."""
    click.echo(msgspec.json.encode(content))


def show_rows(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, as_json: bool, as_csv: bool = False
) -> None:
    """Rows as a JSON array, as CSV, or as a table."""
    if as_json:
        show_json(rows)
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, fieldnames=list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    else:
        _show_table(columns, rows)


def _show_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of the columns that have values and fit the terminal; what is left out is said."""
    filled = [name for name in columns if any(row[name] is not None for row in rows)] or list(columns)
    cells = {name: [_cell(row[name]) for row in rows] for name in filled}
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    shown = _fitting(filled, cells, width)
    layout = {name: _width(name, cells) * _direction(name, rows) for name in shown}
    click.echo(click.style(_line(layout, shown), bold=True))
    for line in zip(*(cells[name] for name in shown), strict=True):
        click.echo(_line(layout, line))
    hidden = f"; {len(columns) - len(shown)} columns not shown, --json has them" if len(shown) < len(columns) else ""
    click.echo(f"{len(rows):,} row{'' if len(rows) == 1 else 's'}{hidden}", err=True)


def _fitting(names: Sequence[str], cells: Mapping[str, Sequence[str]], width: int | None) -> list[str]:
    if width is None:
        return list(names)
    ends = accumulate(_width(name, cells) + len(GAP) for name in names)
    return [name for name, end in zip(names, ends, strict=True) if end - len(GAP) <= width] or [names[0]]


def _width(name: str, cells: Mapping[str, Sequence[str]]) -> int:
    return max(len(name), *map(len, cells[name]), 0)


def _direction(name: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """1 for numbers, which end at the right, and -1 for text, which begins at the left."""
    return 1 if all(NUMBER.fullmatch(_plain(row[name])) for row in rows if row[name] is not None) else -1


def _line(layout: Mapping[str, int], texts: Iterable[str]) -> str:
    aligned = (
        text.rjust(width) if width > 0 else text.ljust(-width)
        for width, text in zip(layout.values(), texts, strict=True)
    )
    return GAP.join(aligned).rstrip()


def _cell(value: Any) -> str:
    text = _plain(value).replace("\n", " ")
    return text if len(text) <= CELL_CHARACTERS_MAX else text[: CELL_CHARACTERS_MAX - 1] + "…"


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
