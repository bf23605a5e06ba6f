"""Events in and out: publishing over HTTP, reading and following the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Annotated, NamedTuple

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from ...eventstore import Log, Record
from ...schemas import MalformedEvent
from ..intake import DeniedRefusal, Refusal
from ..lanes import Lane
from ..live import Reader, ReaderTooSlow
from ..node import Node, Wait
from ..seen import Filters, Seen, line_of, position_in
from . import live
from .bodies import NDJSON, events_in, read_body
from .dependencies import BodyRoom, OpenLanes, ServingNode, json
from .live import HEARTBEAT_SECONDS, Followed, Selected, Selection, asks_for_stream, stream
from .past import AsOf, Vector, dated
from .problems import problem

CHUNK_EVENTS = 500
LIMIT_EVENTS_MAX = 2**63 - 1

router = APIRouter(tags=["events"])
router.include_router(live.router)


@router.post("/events", status_code=HTTPStatus.ACCEPTED)
async def publish(request: Request, node: ServingNode, room: BodyRoom, wait: Wait = "visible") -> Response:
    """Publish CloudEvents: one (`application/cloudevents+json`), an array, or one a line (`application/x-ndjson`).

    Answers when all of them are durable on the bus, in the log, or visible to queries, as `wait` says. An event
    whose id is known already is a duplicate and changes nothing. Where some are invalid the others are taken all
    the same, and the answer (422) says which were refused and why. What an agent that was declared dead claims to have
    begun or ended is refused, too (409, where nothing else is wrong): it has to register anew. So is what an agent says
    of work that is over, or that another has: its first end counts, and only who has it can tell it. What can't be held
    against how things are, because they change too fast, is named likewise, with `may_pass` (503, where nothing else is
    wrong): send that one again.

    While the bus is away this waits for it, for 45 seconds at most, and then answers 503: some of the events may be
    durable by then. While the log or the read models can't take on what is durable, it answers 503 as soon as that has
    lasted for 10 seconds. When the disk is almost full it answers 507 at once, and publishes nothing. In all of these
    cases it is safe to send the same events again.
    """
    async with room.for_body(request):
        body = await read_body(request)
        payloads = await asyncio.to_thread(events_in, body, request.headers.get("content-type", ""))
        taken = await node.take(payloads, wait)
    if not taken.refusals:
        return json(taken, HTTPStatus.ACCEPTED)
    first = taken.refusals[0]
    where = f"event {first.index}" + (f", {first.field}" if first.field else "")
    return problem(status_of_refusals(taken.refusals), f"{where}: {first.reason}", **msgspec.to_builtins(taken))


def status_of_refusals(refusals: Sequence[Refusal]) -> HTTPStatus:
    """What is invalid stays so, and outweighs what contradicts the present; and that, what may pass by itself."""
    denied = [refusal for refusal in refusals if isinstance(refusal, DeniedRefusal)]
    if len(denied) < len(refusals):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    may_pass = all(refusal.may_pass for refusal in denied)
    return HTTPStatus.SERVICE_UNAVAILABLE if may_pass else HTTPStatus.CONFLICT


@router.get("/events")
async def read(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    selection: Selected,
    since: Annotated[datetime | None, Query(description="Only what happened at this time or later.")] = None,
    until: Annotated[datetime | None, Query(description="Only what happened before this time.")] = None,
    limit: Annotated[int | None, Query(ge=0, le=LIMIT_EVENTS_MAX, description="At most so many.")] = None,
    follow: Annotated[bool, Query(description="Stay, and send what the log gains.")] = False,
    moment: AsOf = None,
) -> Response:
    """The log's lines, each with its origin in front: as NDJSON, or with `Accept: text/event-stream` as live events.

    NDJSON has them origin by origin, oldest first, from the beginning unless `after` or `last` says otherwise.

    Live events begin with the latest 100 of each origin (`last` for others) and never end. Each has its type as
    `event`, its line as `data`, and as `id` the position behind it, which names every origin (`east:10,west:7`): what
    `Last-Event-ID` or `after` goes on from, without loss or repetition. An origin that a position does not name is read
    from its beginning. A reader that falls too far behind gets a last event, `slow`, with its position, and comes back.
    The same path is a WebSocket, with the same parameters. Only so many may follow at once, NDJSON with `follow`
    included; one more is refused (503).
    """
    if asks_for_stream(request):
        if since or until or limit is not None or moment is not None:
            raise MalformedEvent("live events have no `since`, `until`, `limit` or `as_of`; ask for NDJSON", "query")
        return stream(request, selection)
    if follow and moment is not None:
        raise MalformedEvent("the past gains nothing more; leave out `follow` or `as_of`", "query")
    end = node.log.vector()
    start = _start(selection, end, moment)
    wanted = Wanted(selection.filters, _utc(since), _utc(until), moment)
    if follow:
        reader = node.live.join(end, selection.filters, lanes.reads)
        lines = _followed(node, lanes.reads, reader, start, wanted._replace(moment=end), limit)
        return Followed(reader, lines, media_type=NDJSON)
    found = wanted.search(node.log, start, limit)
    return dated(StreamingResponse(_lines(lanes.reads, found), media_type=NDJSON), moment)


class Wanted(NamedTuple):
    """Which events a reader asked for."""

    filters: Filters
    since: datetime | None
    until: datetime | None
    moment: Vector | None

    def search(self, log: Log, after: dict[str, int], limit: int | None) -> Iterator[Record]:
        """What the log holds of it behind a position."""
        types, entity, agent, source = self.filters
        found = log.search(
            after=after, up_to=self.moment, types=types, entity=entity, source=source,
            since=self.since, until=self.until, limit=None if agent else limit,
        )  # fmt: skip
        if agent is None:
            return found
        return islice((record for record in found if self.filters.admits(Seen.of(record, ""))), limit)

    def admitted(self, seen: list[Seen], start: Vector) -> list[bytes]:
        """The lines that a reader's filters have let through, without what its other wishes leave out.

        `start` may name places that the log was yet to come to when the reader joined.
        """
        end = self.moment or {}
        if self.since is None and self.until is None and all(n <= end.get(origin, 0) for origin, n in start.items()):
            return [one.line for one in seen]
        return [one.line for one in seen if self._admits(_places.decode(one.line), start)]

    def _admits(self, place: _Place, start: Vector) -> bool:
        if place.n <= start.get(place.origin, 0):
            return False
        if self.since is None and self.until is None:
            return True
        since, until = self.since or _EARLIEST, self.until or _LATEST
        return place.time is not None and since <= place.time < until


class _Place(msgspec.Struct):
    """Where a line stands, and when what it tells happened, where it is an event."""

    origin: str
    n: int
    time: datetime | None = None


_places = msgspec.json.Decoder(_Place)
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)


async def _lines(reads: Lane, found: Iterator[Record]) -> AsyncIterator[bytes]:
    while records := await reads.run(partial(_take, found)):
        yield _written(line_of(record) for record in records)


async def _followed(
    node: Node, reads: Lane, reader: Reader, start: Vector, wanted: Wanted, limit: int | None
) -> AsyncIterator[bytes]:
    """What the log had when the reader joined, and then what the reader takes."""
    found = wanted.search(node.log, start, limit)
    while records := await reads.run(partial(_take, found)):
        yield _written(line_of(record) for record in records)
        limit = None if limit is None else limit - len(records)
    with ExitStack() as joined:
        while limit != 0:
            try:
                seen = await reader.take(HEARTBEAT_SECONDS)
            except ReaderTooSlow:  # the log has what it missed
                joined.close()
                reader = joined.enter_context(node.live.join(reader.position, wanted.filters, reads))
                continue
            if seen is None:  # the node closes
                return
            if lines := wanted.admitted(seen, start)[:limit]:
                yield _written(lines)
                limit = None if limit is None else limit - len(lines)


def _written(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _take(records: Iterator[Record]) -> list[Record]:
    return list(islice(records, CHUNK_EVENTS))


def _start(selection: Selection, end: Vector, moment: Vector | None) -> Vector:
    if selection.after is not None:
        return position_in(selection.after, end, within=False)
    if selection.last is not None:
        return {origin: max(0, n - selection.last) for origin, n in (end if moment is None else moment).items()}
    return {}


def _utc(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time
