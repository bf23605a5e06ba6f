"""Which events are behind a row, as the projections' files declare it, found in the log.

A projection's lineage is a relation of the events: the key of the row that an event helps to make, and the event's
address. Where a projection says that the events behind its rows are those behind another's, the other's lineage is in
its place. It is asked in a DuckDB of its own, without tables, so that nobody who asks the read models waits for it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from ..eventstore import Log
from .database import Resources
from .definitions import EVENTS, Catalogue, Cause, Derived
from .engine import Vector
from .errors import InvalidQuestion, UnknownReadModel
from .keys import KeyPart
from .leash import Leash
from .loader import Loader
from .relations import literal, quoted, relations
from .selection import Selection
from .sidecars import SideCars

MEMORY_SIZE_MIB_MAX = 512
ORIGIN, N = "event_origin", "event_n"
ADDRESS = f"{{'origin': {ORIGIN}, 'n': {N}}}"


class Address(NamedTuple):
    """An event's permanent place in the log."""

    origin: str
    n: int

    def __str__(self) -> str:
        return f"{self.origin}:{self.n}"


class Behind(NamedTuple):
    """The events behind a row: how many they are, and the first of them by their addresses."""

    total: int
    addresses: list[Address]


class Touched(NamedTuple):
    """A key whose row some events help to make, and those events."""

    key: dict[str, Any]
    events: Behind


class Lineage:
    """Asks which events are behind rows. Every method blocks: call them in threads, in as many as you like."""

    def __init__(self, catalogue: Catalogue, log: Log, scratch: Path, side_cars: SideCars | None = None) -> None:
        self._catalogue = catalogue
        self._log = log
        self._scratch = scratch
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._side_cars = side_cars
        self._opening = threading.Lock()
        self._database: duckdb.DuckDBPyConnection | None = None

    def behind(
        self,
        name: str,
        key: Sequence[KeyPart],
        until: Vector,
        *,
        after: Address | None = None,
        limit: int,
        leash: Leash,
    ) -> Behind:
        """The events up to `until` behind the row of that key.

        `after`: only addresses behind that one are listed, whether or not there is such an event. Raises
        `InvalidQuestion` where lineage is not known, `LoadFailed`, `SideCarFailed` or `QueryFailed`.
        """
        start = after or Address("", 0)
        ask = (
            f"select count(*), min({ADDRESS}, $limit) filter ({ADDRESS} > {{'origin': $origin, 'n': $n::ubigint}}) "  # noqa: S608
            f"from lineage where {' and '.join(_same(part, place) for place, part in enumerate(key)) or 'true'}"
        )
        parts = {f"key_{place}": part.value for place, part in enumerate(key) if part.value is not None}
        given = {**parts, "limit": max(limit, 1), "origin": start.origin, "n": start.n}
        with self._events(name, {}, until, leash) as con:
            ((total, found),) = con.execute(ask, given).fetchall()
        return Behind(total, _addresses(found)[:limit])

    def touched(
        self, name: str, after: Vector, until: Vector, *, limit: int, events_max: int, leash: Leash
    ) -> list[Touched]:
        """The keys whose rows the events beyond `after`, up to `until`, help to make, in the keys' order.

        `events_max`: so many addresses each. Raises as `behind` does.
        """
        key = self._catalogue.by_name[name].key if name in self._catalogue.by_name else ()
        with self._events(name, after, until, leash) as con:
            # First the keys, then their events: those of all keys would not fit into the memory.
            con.execute(f"create temp table keys as {_first_keys(key)}", {"limit": limit} if key else None)
            found = con.execute(_events_by_key(key), {"events": events_max}).fetchall()
        return [
            Touched(dict(zip(key, values, strict=True)), Behind(total, _addresses(first)))
            for total, first, *values in found
            if total
        ]

    def query(self, name: str) -> str:
        """The lineage of a projection in SQL: its key's columns, and the addresses of events."""
        known = self._catalogue.by_name
        if name not in known:
            raise UnknownReadModel(name, sorted(known))
        if not known[name].causes:
            raise InvalidQuestion("why", f"{name} does not declare which events are behind its rows")
        return " union all ".join(part for cause in known[name].causes for part in self._parts(cause))

    def close(self) -> None:
        """Give the memory back, as soon as nobody asks any more."""
        with self._opening:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _parts(self, cause: Cause) -> Iterator[str]:
        where = f" where {cause.where}" if cause.where else ""
        key = "".join(f"{expression} as {quoted(column)}, " for column, expression in cause.by.items())
        for name in cause.of:
            if name in self._catalogue.by_name:
                yield f"select {key}{ORIGIN}, {N} from ({self.query(name)}){where}"  # noqa: S608
            elif name not in relations():
                yield f"select {key}origin as {ORIGIN}, n as {N} from {quoted(name)}{where}"  # noqa: S608
        if types := [literal(relations()[name].type) for name in cause.of if name in relations()]:
            # One selection from all events: a union of their relations takes longer to bind.
            events = f"(from {EVENTS} where type in ({', '.join(types)}))"
            yield f"select {key}origin as {ORIGIN}, n as {N} from {events}{where}"  # noqa: S608

    @contextmanager
    def _events(self, name: str, after: Vector, until: Vector, leash: Leash) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that has a projection's lineage over these events, as `lineage`."""
        query = self.query(name)
        derived = self._derived(query)
        loader = Loader(self._log, Selection([query, *(one.query for one in derived)]), self._scratch, self._side_cars)
        with self._connection() as con, leash.holding(con):
            loader.prepare(con)
            for one in derived:
                con.execute(one.statement)
            loader.spread(con, after, until, leash)
            con.execute(f"create temp view lineage as {query}")
            yield con

    def _derived(self, query: str) -> list[Derived]:
        """The derived relations that a query draws on, in an order in which they can be created."""
        needed: list[Derived] = []
        for one in reversed(self._catalogue.derived.values()):
            if any(re.search(rf"\b{one.name}\b", text) for text in (query, *(other.query for other in needed))):
                needed.append(one)
        return needed[::-1]

    def _open(self) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect(
            config={
                "threads": Resources().rebuild_threads,
                "memory_limit": f"{MEMORY_SIZE_MIB_MAX}MiB",
                "temp_directory": str(self._scratch / "spilled-lineage"),
                "preserve_insertion_order": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )
        con.execute("set global parquet_metadata_cache = true")
        # DuckDB 2.0.0 fails over `nullif(coalesce(skill, ''), '') = 'x'` where it has seen that every skill is NULL.
        con.execute("set global disabled_optimizers = 'statistics_propagation'")
        return con

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._opening:
            if self._database is None:
                self._database = self._open()
            con = self._database.cursor()
        with con:
            yield con


def _first_keys(key: Sequence[str]) -> str:
    columns = ", ".join(map(quoted, key))
    return f"select distinct {columns} from lineage order by {columns} limit $limit" if key else "select 1"  # noqa: S608


def _events_by_key(key: Sequence[str]) -> str:
    columns = "".join(f", keys.{quoted(column)}" for column in key)
    same = " and ".join(f"lineage.{quoted(column)} is not distinct from keys.{quoted(column)}" for column in key)
    asked = f"select count(*) as total, min({ADDRESS}, $events){columns} from lineage join keys on {same or 'true'}"  # noqa: S608
    return f"{asked} group by {columns[2:]} order by {columns[2:]}" if key else asked


def _same(part: KeyPart, place: int) -> str:
    return f"{quoted(part.column)} " + ("is null" if part.value is None else f"= $key_{place}::{part.sql_type}")


def _addresses(found: list[dict[str, Any]] | None) -> list[Address]:
    return [Address(one["origin"], one["n"]) for one in found or []]
