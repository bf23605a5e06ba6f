"""A table in plain text: columns that line up for any script, and that fit the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

CELL_CHARACTERS_MAX = 60
CUT_CHARACTERS_MIN = 12
GAP = "  "
ELLIPSIS = "…"
JOINER = "\u200d"
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e-?[0-9]+)?")


class Table(NamedTuple):
    """The lines, the head first, the columns that are in them, and whether a cell had to be cut."""

    lines: list[str]
    columns: list[str]
    cut: bool


def table(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    *,
    width: int | None = None,
    cell_characters_max: int = CELL_CHARACTERS_MAX,
) -> Table:
    """The rows as a table at most `width` columns of a terminal wide: the first of `columns`, as many as fit.

    Numbers end at the right, text begins at the left.
    """
    cells = {name: [visible(plain(row[name])) for row in rows] for name in columns}
    widths = {name: max(map(width_of, [visible(name), *cells[name]])) for name in columns}
    limits = _fitting({name: min(widths[name], cell_characters_max) for name in columns}, width)
    layout = [(limit, _is_numeric(name, rows)) for name, limit in limits.items()]
    lines = [_line(layout, [visible(name) for name in limits])]
    lines += [_line(layout, line) for line in zip(*(cells[name] for name in limits), strict=True)]
    return Table(lines, list(limits), any(limits[name] < widths[name] for name in limits))


def plain(value: Any) -> str:
    """A value as text: nothing for null, JSON for what has parts."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def visible(text: str) -> str:
    """The text on one line and without characters that command a terminal: agents write it, and people look at it."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == JOINER else " " if one.isspace() else "\ufffd" for one in text)


def harmless(text: str) -> str:
    """The text, line by line, without characters that command a terminal."""
    return text if text.isprintable() else "\n".join(map(visible, text.split("\n")))


def width_of(text: str) -> int:
    """How many columns of a terminal the text takes: a CJK character or an emoji takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """The text, or as much of it as `width` columns hold, ending in `…`."""
    if width_of(text) <= width:
        return text
    if text.isascii():
        return text[: width - 1] + ELLIPSIS
    from rich.cells import set_cell_size

    return set_cell_size(text, width - 1).rstrip() + ELLIPSIS


def _fitting(widths: Mapping[str, int], most: int | None) -> dict[str, int]:
    """The columns that fit, with their widths; the last may be narrower than it would like to be."""
    fitting: dict[str, int] = {}
    left = most
    for name, width in widths.items():
        if left is not None:
            if width > left:
                if left >= CUT_CHARACTERS_MIN or not fitting:
                    fitting[name] = max(left, 1)
                break
            left -= width + len(GAP)
        fitting[name] = width
    return fitting


def _is_numeric(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    return all(NUMBER.fullmatch(plain(row[name])) for row in rows if row[name] is not None)


def _line(layout: Sequence[tuple[int, bool]], texts: Sequence[str]) -> str:
    return GAP.join(_padded(text, *place) for text, place in zip(texts, layout, strict=True)).rstrip()


def _padded(text: str, width: int, to_the_right: bool) -> str:
    shown = cut(text, width)
    padding = " " * (width - width_of(shown))
    return padding + shown if to_the_right else shown + padding
