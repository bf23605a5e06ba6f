"""Questions to the read models: by name, or in SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from fastapi import APIRouter, Query, Request, Response

from ...eventstore.vault import Vault, revealed
from ...projections import (
    Answer,
    Column,
    Encoded,
    InvalidQuestion,
    Leash,
    csv_text,
    is_binary,
    moment_text,
    ndjson,
    question_of,
)
from ...schemas import MalformedEvent
from ..node import Node
from .bodies import read_body
from .dependencies import OpenLanes, ServingNode, in_time, json
from .negotiation import MEDIA_TYPES, format_of
from .past import AsOf, Vector, dated
from .waiting import until_visible

STATEMENT_BYTES_MAX = 1024 * 1024

router = APIRouter(tags=["queries"])

Limit = Annotated[int | None, Query(ge=0, description="At most so many rows.")]
Select = Annotated[str | None, Query(description="Only these columns, as in `run_id,cost_usd`.")]
Sort = Annotated[str | None, Query(description="Order by these columns, `-` for descending: `-cost_usd,run_id`.")]
Cursor = Annotated[str | None, Query(description="Go on behind a page: the `next` of its answer.")]
Format = Annotated[str | None, Query(description=f"In place of the Accept header: {', '.join(MEDIA_TYPES)}.")]
WaitFor = Annotated[
    str | None,
    Query(description="Answer when the read models hold this event, as in `local:41`; so one reads what one wrote."),
]
Reveal = Annotated[
    bool,
    Query(description="Show what is sealed as it was said, in JSON, NDJSON or CSV; filters see it sealed."),
]


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One read-only SQL statement, DuckDB's dialect, with its parameters."""

    sql: str
    parameters: list[Any] | dict[str, Any] | None = None
    limit: Annotated[int, msgspec.Meta(ge=0)] | None = None


@router.get("/query")
async def models(node: ServingNode, lanes: OpenLanes) -> Response:
    """The read models: names, descriptions, columns with their types."""
    found = await lanes.reads.run(node.projections.models)
    return json([model._asdict() | {"columns": _columns(model.columns)} for model in found])


@router.get("/query/{name}")
async def rows(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    name: str,
    limit: Limit = None,
    select: Select = None,
    sort: Sort = None,
    cursor: Cursor = None,
    format: Format = None,
    wait_for: WaitFor = None,
    reveal: Reveal = False,
    moment: AsOf = None,
) -> Response:
    """A page of a read model's rows.

    Any other parameter is a filter: `column=value`, or `column.OPERATOR=value` with eq, ne (null included), lt, le, gt,
    ge, in (`a,b`), like, null (`true` or `false`). A column that is named like one of the options is asked for with an
    operator: `limit.eq=3`. All filters must hold.

    Text is sorted by its first 200 characters, a key's by all of it; rows that are level, by the key. `next`, and a
    Link header in every format, lead to the next page; rows that are added meanwhile move nothing. An answer about the
    past says in a Rookery-As-Of header of which moment it is, and its next page is of the same.
    """
    format_name = format_of(request)
    vault = _vault(node, format_name, reveal)
    question = question_of(_parameters(request))
    await until_visible(node, wait_for)
    tag = _tag(request, format_name, node.projections.stamp(moment))
    if tag in _known_tags(request) and not reveal:
        return dated(Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"etag": tag, "vary": "accept"}), moment)
    leash = Leash(node.settings.query_seconds_max)
    bounds: Any = {"limit": _limit(node, limit), "leash": leash}

    def answer() -> Response:
        with node.projections.at(moment, [name], leash) as models:
            if is_binary(format_name):
                return _binary(models.rows_in(format_name, name, question, **bounds), format_name, request, moment)
            return _text(_revealed(models.rows(name, question, **bounds), vault), format_name, request, moment)

    response = await in_time(request, lanes, leash, answer)
    response.headers.update({"cache-control": "no-store"} if reveal else {"etag": tag, "cache-control": "no-cache"})
    return dated(response, moment)


@router.post("/sql")
async def sql(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    format: Format = None,
    wait_for: WaitFor = None,
    reveal: Reveal = False,
    moment: AsOf = None,
) -> Response:
    """What one read-only statement answers. It sees every read model, and the log as `events`.

    A statement that takes too long is stopped (400), and one whose client goes away is stopped too. A Rookery-Truncated
    header says whether there were more rows than the limit allowed.
    """
    format_name = format_of(request)
    vault = _vault(node, format_name, reveal)
    statement = _statement(await read_body(request, bytes_max=STATEMENT_BYTES_MAX))
    await until_visible(node, wait_for)
    leash = Leash(node.settings.query_seconds_max)
    asked = (statement.sql, statement.parameters)
    bounds: Any = {"limit": _limit(node, statement.limit), "leash": leash}

    def answer() -> Response:
        with node.projections.at(moment, node.projections.named_in(statement.sql), leash) as models:
            if is_binary(format_name):
                return _binary(models.sql_in(format_name, *asked, **bounds), format_name)
            return _text(_revealed(models.sql(*asked, **bounds), vault), format_name)

    response = await in_time(request, lanes, leash, answer)
    if reveal:
        response.headers["cache-control"] = "no-store"
    return dated(response, moment)


def _statement(body: bytes) -> Statement:
    try:
        return msgspec.json.decode(body, type=Statement)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(str(error), "body") from None


def _vault(node: Node, format_name: str, reveal: bool) -> Vault | None:
    """What to reveal with. DuckDB writes the binary formats by itself, and knows no keys."""
    if reveal and is_binary(format_name):
        raise InvalidQuestion("reveal", "is for JSON, NDJSON and CSV; ask for one of those")
    return node.vault if reveal else None


def _revealed(answer: Answer, vault: Vault | None) -> Answer:
    return answer if vault is None else answer._replace(rows=revealed(answer.rows, vault))


def _limit(node: Node, asked: int | None) -> int:
    most = node.settings.query_rows_max
    return most if asked is None else min(asked, most)


def _parameters(request: Request) -> list[tuple[str, str]]:
    """The query's parameters; bytes that are no text would otherwise be replaced, and ask for something else."""
    try:
        return parse_qsl(request.url.query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise InvalidQuestion("query", "holds bytes that are not UTF-8") from None


def _tag(request: Request, *parts: str) -> str:
    """What identifies the answer: the question, its format, and the tables' state."""
    asked = [(name, text) for name, text in request.query_params.multi_items() if name not in ("wait_for", "as_of")]
    return f'"{hashlib.sha256(repr((request.url.path, asked, parts)).encode()).hexdigest()[:32]}"'


def _known_tags(request: Request) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]


def _text(answer: Answer, format_name: str, request: Request | None = None, moment: Vector | None = None) -> Response:
    """The answer, encoded: for a thread, because it may be long. `request`: the one whose next page to link to."""
    if format_name == "json":
        shown = {"columns": _columns(answer.columns), "rows": answer.records(), "truncated": answer.truncated}
        content = msgspec.json.encode(shown | {"next": answer.next} if request else shown)
    else:
        content = ndjson(answer) if format_name == "ndjson" else csv_text(answer)
    return _binary(Encoded(content, answer.truncated, answer.next), format_name, request, moment)


def _binary(
    encoded: Encoded, format_name: str, request: Request | None = None, moment: Vector | None = None
) -> Response:
    headers = {"vary": "accept", "rookery-truncated": "true" if encoded.truncated else "false"}
    if request and encoded.next:
        kept = [pair for pair in request.query_params.multi_items() if pair[0] not in ("cursor", "wait_for", "as_of")]
        of_then = [("as_of", moment_text(moment))] if moment is not None else []
        following = urlencode([*kept, *of_then, ("cursor", encoded.next)])
        headers["link"] = f'<{request.url.path}?{following}>; rel="next"'
    return Response(encoded.content, media_type=MEDIA_TYPES[format_name], headers=headers)


def _columns(columns: Sequence[Column]) -> list[dict[str, str]]:
    return [column._asdict() for column in columns]
