"""Lineage over HTTP: one row, the events that are behind it, and what became of a read model between two moments."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import unquote_to_bytes

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response

from ...projections import Address, Change, Changes, InvalidQuestion, Leash, Row, changes, moment_of, moment_text
from ..node import Node
from ..seen import line_of
from .dependencies import OpenLanes, ServingNode, in_time, json
from .past import AsOf, dated
from .queries import WaitFor
from .shapes import answers
from .told import EVENT
from .waiting import address_in, until_visible

EVENTS_LISTED_MAX = 1_000
ROWS_COMPARED_MAX = 10_000

router = APIRouter(tags=["lineage"])

Name = Annotated[str, Path(description="The read model.")]
Key = Annotated[
    str,
    Path(
        description="What the row has in the columns of the read model's key, percent-encoded, with commas between: "
        "`openai,gpt-4o`. Nothing at all is NULL.",
        examples=["run-9"],
    ),
]
Listed = Annotated[int, Query(ge=0, le=EVENTS_LISTED_MAX, description="List at most so many events.")]
After = Annotated[
    str | None, Query(description="Go on behind this address: the `next` of an answer.", examples=["local:41"])
]
Compared = Annotated[
    int, Query(ge=1, le=ROWS_COMPARED_MAX, description="Look at most at so many rows that have new events.")
]
From = Annotated[
    str, Query(alias="from", description="The moment before, as for `as_of`.", examples=["2026-11-17T09:00Z"])
]
To = Annotated[str | None, Query(description="The moment after, likewise; otherwise now.", examples=["1 hour ago"])]


class Reasons(msgspec.Struct, frozen=True):
    """A row with the events behind it: alone they make it what it is. `next`: behind which address to go on."""

    name: str
    key: dict[str, Any]
    row: dict[str, Any]
    moment: str
    events_total: int
    events: list[dict[str, Any]]
    next: str | None


class ColumnChange(msgspec.Struct, frozen=True):
    """What a column was, and what it became."""

    before: Any
    after: Any


class RowChange(msgspec.Struct, frozen=True):
    """What became of a row, and the addresses of the first events that did it."""

    change: Literal["added", "removed", "changed"]
    key: dict[str, Any]
    columns: dict[str, ColumnChange]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    events_total: int
    events: list[str]


class Difference(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """What became of a read model's rows between two moments. `truncated`: there are more that have new events."""

    name: str
    start: str
    end: str
    changes: list[RowChange]
    truncated: bool


_ROW = {"run_id": "run-9", "status": "completed", "task": "Review the diff", "cost_usd": "0.0034375"}
_EVENT = {"origin": "local", "n": 42, "seq": 42, "recordedtime": "2026-11-20T12:00:00.004Z"} | EVENT
_REASONS = {
    "name": "runs",
    "key": {"run_id": "run-9"},
    "row": _ROW,
    "moment": "local:57",
    "events_total": 4,
    "events": [_EVENT],
    "next": "local:42",
}
_DIFFERENCE = {
    "name": "runs",
    "from": "local:42",
    "to": "local:57",
    "changes": [
        {
            "change": "changed",
            "key": {"run_id": "run-9"},
            "columns": {"status": {"before": "running", "after": "completed"}},
            "before": _ROW | {"status": "running"},
            "after": _ROW,
            "events_total": 3,
            "events": ["local:43", "local:44", "local:57"],
        }
    ],
    "truncated": False,
}


@router.get(
    "/query/{name}/diff",
    summary="What became of a read model between two moments",
    responses=answers(Difference, "What changed.", _DIFFERENCE),
    response_class=Response,
)
async def diff(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    name: Name,
    before: From,
    to: To = None,
    limit: Compared = 1_000,
) -> Response:
    """The rows that were added, removed or changed, in the order of the key, with the events that did it.

    Only rows with events between the two moments are looked at, because no others can have changed. Where `from` is the
    later moment, what came since is `removed`.
    """
    start = await lanes.reads.run(partial(moment_of, before, node.log))
    end = None if to is None else await lanes.reads.run(partial(moment_of, to, node.log))
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        found = changes(node.projections.at, node.projections.lineage, name, start, end, limit=limit, leash=leash)
        return json(_difference(name, found))

    return await in_time(request, lanes, leash, answer, of_past=True)


@router.get(
    "/query/{name}/{key:path}/why",
    summary="The events behind a row",
    responses=answers(Reasons, "The row, and the events behind it.", _REASONS),
    response_class=Response,
)
async def why(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    name: Name,
    key: Key,
    limit: Listed = 100,
    after: After = None,
    wait_for: WaitFor = None,
    moment: AsOf = None,
) -> Response:
    """One row with the events that make it what it is, as the log has them, in the order of their addresses.

    A read model whose rows were folded from these events alone would have this very row; one folded from all the
    others would have none of this key. `events_total` counts them all, however many are listed.
    """
    if not _raw_path(request).endswith(b"/why"):  # a key that ends so, in its encoding
        return await row(request, node, lanes, name, key, wait_for, moment)
    parts = _parts(request, b"/why")
    start = None if after is None else Address(*address_in(after, node.log.vector(), "after"))
    await until_visible(node, wait_for)
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, [name], leash) as models:
            found = models.row(name, parts, leash=leash)
        return json(_reasons(node, name, found, start, limit, leash))

    return dated(await in_time(request, lanes, leash, answer), moment)


@router.get(
    "/query/{name}/{key:path}",
    summary="One row",
    responses=answers(dict[str, Any], "The row.", _ROW),
    response_class=Response,
)
async def row(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    name: Name,
    key: Key,
    wait_for: WaitFor = None,
    moment: AsOf = None,
) -> Response:
    """The row of that key. Where there is none, the answer (404) names the keys that are most like it."""
    parts = _parts(request)
    await until_visible(node, wait_for)
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, [name], leash) as models:
            return json(models.row(name, parts, leash=leash).record())

    return dated(await in_time(request, lanes, leash, answer), moment)


def _reasons(node: Node, name: str, row: Row, after: Address | None, limit: int, leash: Leash) -> dict[str, Any]:
    key = row.parts()
    found = node.projections.lineage.behind(name, key, row.vector, after=after, limit=limit + 1, leash=leash)
    listed = found.addresses[:limit]
    records = [node.log.get(*address) for address in listed]
    return {
        "name": name,
        "key": {part.column: part.value for part in key},
        "row": row.record(),
        "moment": moment_text(row.vector),
        "events_total": found.total,
        "events": [msgspec.Raw(line_of(record)) for record in records if record is not None],
        "next": str(listed[-1]) if listed and len(found.addresses) > limit else None,
    }


def _difference(name: str, found: Changes) -> Difference:
    start, end = moment_text(found.start), moment_text(found.end)
    return Difference(name, start, end, [_row_change(change) for change in found.changes], found.truncated)


def _row_change(found: Change) -> RowChange:
    return RowChange(
        change=found.kind,
        key=found.key,
        columns={name: ColumnChange(*values) for name, values in found.columns.items()},
        before=found.before,
        after=found.after,
        events_total=found.events.total,
        events=[str(address) for address in found.events.addresses],
    )


def _parts(request: Request, suffix: bytes = b"") -> list[str]:
    """The key's parts, from the path as it was sent: decoded, a comma within a part is like one between two."""
    _, _, place = _raw_path(request).removesuffix(suffix).partition(b"/query/")
    _, _, key = place.partition(b"/")
    try:
        return [unquote_to_bytes(part).decode() for part in key.split(b",")]
    except UnicodeDecodeError:
        raise InvalidQuestion("key", "holds bytes that are not UTF-8") from None


def _raw_path(request: Request) -> bytes:
    path: bytes = request.scope["raw_path"]
    return path.partition(b"?")[0]
