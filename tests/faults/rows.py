"""The table: a row per fault, what came of it, and how it gets into the documentation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rookery.ops.bench.figures import machine

COLUMNS = (
    "fault",
    "times",
    "acknowledged",
    "lost",
    "doubled",
    "wrong",
    "detected",
    "healed",
    "harmless",
    "silent",
    "seed",
)
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of fault did, over all times that it was brought about. None: doesn't apply."""

    fault: str
    times: int
    acknowledged: int | None = None
    lost: int | None = None
    doubled: int | None = None
    wrong: int | None = None
    detected: int | None = None
    healed: int | None = None
    harmless: int | None = None
    silent: int | None = None
    seed: int | None = None

    @property
    def is_broken(self) -> bool:
        """Whether something happened that must not."""
        return bool(self.lost or self.doubled or self.wrong or self.silent)


def written(row: Row) -> list[str]:
    """A row's cells, as the table has them."""
    return [_cell(name, getattr(row, name)) for name in COLUMNS]


def write(path: Path, rows: Sequence[Row]) -> None:
    """Put the rows into the document's table; rows of other faults stay as they are."""
    text = path.read_text()
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    known = {cells[0]: cells for cells in _cells_in(table)}
    known |= {row.fault: written(row) for row in rows}
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" + "|---:" * (len(COLUMNS) - 1) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in known.values()]
    dated = f"{datetime.now(UTC):%Y-%m-%d}, {machine()}:"
    path.write_text("\n".join([before + BEGIN, dated, "", *lines, END]) + after)


def _cells_in(table: str) -> list[list[str]]:
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in table.splitlines() if line.startswith("|")]
    return rows[2:]


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and name != "seed" else str(value)
