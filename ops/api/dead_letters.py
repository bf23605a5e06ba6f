"""Dead letters over HTTP: events that no read model holds and reactions that are parked, and what to do about these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from ...eventstore import DeadLetter, Log
from ...handlers.reactions import Held
from ...projections import question_of
from ...schemas import MalformedEvent
from .. import reactions
from ..node import Node, Wait
from ..reactions import Which, name_of
from ..seen import entity_in
from .bodies import read_body
from .dependencies import BodyRoom, OpenLanes, ServingNode, json
from .past import AsOf, Vector, dated

DEAD_LETTERS_MAX = 100_000
WHICH_BYTES_MAX = 64 * 1024

router = APIRouter(tags=["dead letters"])


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter: an `event` that no read model holds, or a `reaction` that is parked.

    `later_events` is how many later events of the entity there are; null where counting takes too long. They are folded
    past an event, and wait behind a reaction.
    """

    kind: str
    address: str
    entity: str
    reason: str
    fault: str
    field: str
    type: str | None
    id: str | None
    recordedtime: str
    payload: str
    attempts: int | None = None
    later_events: int | None = None


@router.get("/dead-letters")
async def dead_letters(
    node: ServingNode,
    lanes: OpenLanes,
    limit: Annotated[int, Query(ge=0, le=DEAD_LETTERS_MAX)] = 1_000,
    type: Annotated[
        str | None, Query(description="Only events of this type; of reactions, those of this name.")
    ] = None,
    entity: Annotated[str | None, Query(description="Only what is about this, as in `run/run-9`.")] = None,
    moment: AsOf = None,
) -> Response:
    """Events that the log keeps and no read model holds, and reactions that are parked, each with the reason.

    Events are judged by today's schemas, also those of the past.
    """
    about = None if entity is None else name_of(entity_in(entity))
    parked = node.reactions.parked() if moment is None else None
    found = await lanes.reads.run(lambda: _found(node, moment, parked, type, about, limit))
    return dated(json(found), moment)


@router.post("/dead-letters/redrive")
async def redrive(request: Request, node: ServingNode, room: BodyRoom, wait: Wait = "visible") -> Response:
    """Try parked reactions once more: those of an entity, of a reaction, one by its id, or all of them.

    What waits behind one goes on once it is done; if it fails again, it is parked again.
    """
    async with room.for_body(request, bytes_max=WHICH_BYTES_MAX):
        return json(await reactions.redrive(node, await _which(request), wait))


@router.post("/dead-letters/discard")
async def discard(request: Request, node: ServingNode, room: BodyRoom, wait: Wait = "visible") -> Response:
    """Never do parked reactions, for a `reason` that stays in the log. What waits behind them goes on."""
    async with room.for_body(request, bytes_max=WHICH_BYTES_MAX):
        return json(await reactions.discard(node, await _which(request), wait))


async def _which(request: Request) -> Which:
    try:
        return msgspec.json.decode(await read_body(request, bytes_max=WHICH_BYTES_MAX), type=Which)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(str(error), "body") from None


def _found(
    node: Node, moment: Vector | None, parked: list[Held] | None, type: str | None, entity: str | None, limit: int
) -> list[Row]:
    reactions_parked = _parked_now(node, parked or ()) if moment is None else _parked_then(node, moment)
    rows = chain(reactions_parked, _events(node.log, moment))
    wanted = (row for row in rows if type in (None, row.type) and entity in (None, row.entity))
    return _with_later(node.log, list(islice(wanted, limit)), moment)


def _events(log: Log, moment: Vector | None) -> Iterator[Row]:
    for one in log.dead_letters():
        if moment is None or one.n <= moment.get(one.origin, 0):
            yield _event(one)


def _event(one: DeadLetter) -> Row:
    return Row(
        kind="event",
        address=f"{one.origin}:{one.n}",
        entity=name_of(one.entity),
        reason=one.reason,
        fault=one.fault,
        field=one.field,
        type=one.type,
        id=one.id,
        recordedtime=one.recorded_time.isoformat().replace("+00:00", "Z"),
        payload=one.payload.decode(errors="replace"),
    )


def _parked_now(node: Node, parked: Iterable[Held]) -> Iterator[Row]:
    for held in parked:
        address = f"{node.settings.origin}:{held.n}"
        yield _parked(held.reaction, held.id, name_of(held.entity), address, held.error, held.attempts, held.since)


def _parked_then(node: Node, moment: Vector) -> Iterator[Row]:
    with node.projections.at(moment, ["reactions"]) as past:
        rows = past.rows("reactions", question_of([("status", "parked")]), limit=DEAD_LETTERS_MAX).records()
    for row in rows:
        yield _parked(
            row["reaction"],
            row["reaction_id"],
            row["entity"],
            row["cause"],
            row["error"],
            row["attempts"],
            row["since"],
        )


def _parked(reaction: str, id: str, entity: str, cause: str, error: str, attempts: int, since: Any) -> Row:
    time = since if isinstance(since, str) else since.isoformat() + "Z"
    return Row(
        kind="reaction",
        address=cause,
        entity=entity,
        reason=error,
        fault="parked",
        field="",
        type=reaction,
        id=id,
        recordedtime=time.replace("+00:00", "Z"),
        payload="",
        attempts=attempts,
    )


def _with_later(log: Log, rows: list[Row], moment: Vector | None) -> list[Row]:
    """The rows, each with how much happened to its entity behind it: counted in one look at the log."""
    places = [(origin, int(n)) for origin, _, n in (row.address.rpartition(":") for row in rows)]
    after: dict[str, int] = {}
    for origin, n in places:
        after[origin] = min(n, after.get(origin, n))
    entities = [entity_in(row.entity) for row in rows]
    later = log.later(entities, after=after, up_to=moment or log.vector())
    counts = [later.count(*place, entity) for place, entity in zip(places, entities, strict=True)]
    return [msgspec.structs.replace(row, later_events=count) for row, count in zip(rows, counts, strict=True)]
