"""What became of a read model between two moments: the rows that came, went or changed, and by which events.

A row depends on no events but those behind it, so only rows with events between the moments are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple

from .answers import plain
from .asking import ReadModels, Standing
from .engine import Vector
from .leash import Leash
from .lineage import Behind, Lineage, Touched

EVENTS_PER_CHANGE_MAX = 10

Record = dict[str, Any]
# Opens the read models of a moment, those of these names at least; the live ones where it is None.
At = Callable[[Vector | None, Sequence[str], Leash], AbstractContextManager[ReadModels]]


class Change(NamedTuple):
    """What became of one row. `columns`: each that differs, with what it was before and after.

    `events`: those between the two moments that are behind the row.
    """

    kind: Literal["added", "removed", "changed"]
    key: Record
    before: Record | None
    after: Record | None
    columns: dict[str, tuple[Any, Any]]
    events: Behind


class Changes(NamedTuple):
    """What became of a read model, from `start` to `end`.

    `truncated`: more rows than these have events between the two, and were not looked at.
    """

    start: Vector
    end: Vector
    changes: list[Change]
    truncated: bool


def changes(
    at: At, lineage: Lineage, name: str, start: Vector, end: Vector | None, *, limit: int, leash: Leash
) -> Changes:
    """What became of the read model `name` from `start` to `end`, or to the present, in the order of its key.

    Where `end` is the earlier moment, what came since is `removed`. At most `limit` rows are looked at. Raises
    `UnknownReadModel`, `InvalidQuestion`, `LoadFailed`, `QueryFailed`, and what `at` raises.
    """
    with at(end, [name], leash) as models:
        models.columns_of(name)  # it needs a reader's place: better before we have taken one
        # The long look comes first: whoever replaces the tables waits for who holds them as they stand.
        seen = models.vector()
        if not _leads_to(start, seen):
            seen = start
        found = _touched(lineage, name, start, seen, limit + 1, leash)
        with models.standing() as present:
            end = present.vector
            if not _leads_to(seen, end):  # others have come in their place, or `end` is the earlier moment
                found, seen = [], start
            if seen != end:
                found = _merged(found, _touched(lineage, name, seen, end, limit + 1, leash))
            touched = found[:limit]
            new = _rows(present, name, touched, leash)
    with at(start, [name], leash) as models, models.standing() as then:
        old = _rows(then, name, touched, leash)
    compared = (_change(one, old.get(_place(one.key)), new.get(_place(one.key))) for one in touched)
    return Changes(start, end, [change for change in compared if change], truncated=len(found) > limit)


def _touched(lineage: Lineage, name: str, start: Vector, end: Vector, limit: int, leash: Leash) -> list[Touched]:
    """The rows that have events between the two, whichever is the earlier."""
    origins = start.keys() | end.keys()
    low = {origin: min(start.get(origin, 0), end.get(origin, 0)) for origin in origins}
    high = {origin: max(start.get(origin, 0), end.get(origin, 0)) for origin in origins}
    return lineage.touched(name, low, high, limit=limit, events_max=EVENTS_PER_CHANGE_MAX, leash=leash)


def _leads_to(first: Vector, second: Vector) -> bool:
    return all(n <= second.get(origin, 0) for origin, n in first.items())


def _merged(first: list[Touched], second: list[Touched]) -> list[Touched]:
    """What events in either of two stretches of the log touched, with all of those, in the order of the keys."""
    found = {_place(one.key): one for one in first}
    for one in second:
        known = found.get(_place(one.key))
        found[_place(one.key)] = one._replace(events=_both(known.events, one.events)) if known else one
    return sorted(found.values(), key=_in_order)


def _both(first: Behind, second: Behind) -> Behind:
    addresses = sorted([*first.addresses, *second.addresses])
    return Behind(first.total + second.total, addresses[:EVENTS_PER_CHANGE_MAX])


def _in_order(touched: Touched) -> list[tuple[bool, Any]]:
    """As the database orders keys: NULL comes last."""
    return [(value is None, value) for value in touched.key.values()]


def _rows(tables: Standing, name: str, touched: Sequence[Touched], leash: Leash) -> dict[tuple[Any, ...], Record]:
    if not touched:
        return {}
    keys = [one.key for one in touched]
    records = tables.rows_of(name, keys, leash).records()
    return {_place({column: record[column] for column in keys[0]}): record for record in records}


def _place(key: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(map(plain, key.values()))


def _change(touched: Touched, before: Record | None, after: Record | None) -> Change | None:
    if before == after:
        return None
    columns: dict[str, tuple[Any, Any]] = {}
    if before and after:
        columns = {name: (value, after[name]) for name, value in before.items() if value != after[name]}
    kind: Literal["added", "removed", "changed"] = "changed" if columns else "added" if after else "removed"
    key = {column: plain(value) for column, value in touched.key.items()}
    return Change(kind, key, before, after, columns, touched.events)
