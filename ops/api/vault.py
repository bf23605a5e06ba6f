"""The vault over HTTP: sealing what is personal, reading it, and forgetting whom it is about.

Names of people come in bodies and never in a URL, which access logs and proxies keep.
"""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Annotated, TypeVar

import msgspec
from fastapi import APIRouter, Query, Request, Response
from msgspec import Meta

from ...eventstore.vault import exported, imported, revealed_json, revealed_text
from ...schemas import InvalidInput, MalformedEvent
from ..erasure import Erased, receipts_in
from .bodies import NDJSON, NDJSON_ALIASES, events_in, read_body
from .dependencies import BodyRoom, OpenLanes, ServingNode, json
from .shapes import answers

ASKED_BYTES_MAX = 64 * 1024
EVENT_BYTES_MAX = 8 * 1024 * 1024
PLAIN = "text/plain"

_PSEUDONYM = "ds-k5cq2h7nq4v3x6w2m5o7t4r3ya"
_ERASED = {
    "sealed_events": 41,
    "uncounted_events": 0,
    "events_by_origin": {"local": 41},
    "up_to": {"local": 4_711},
    "rows_by_read_model": {"feedback": 3, "messages": 38},
    "places": ["bus", "log", "side_cars", "read_models", "graph"],
    "pseudonyms": [_PSEUDONYM],
    "forgotten": True,
    "receipts": ["5f0c2d1e-8a4e-5d10-b3a5-0199f2c59a77"],
}

router = APIRouter(prefix="/vault", tags=["vault"])

Asked = TypeVar("Asked")
Person = Annotated[str, Meta(min_length=1, max_length=256)]


class Whom(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The person, by name or pseudonym."""

    subject: Person


class Export(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose keys, or everybody's, and the passphrase that they are put under."""

    passphrase: str
    subjects: list[Person] | None = None


class Import(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An export, and its passphrase."""

    passphrase: str
    export: str


class Vaulted(msgspec.Struct, frozen=True):
    """How many keys there are, and how many were destroyed."""

    keys: int
    forgotten: int


class Imported(msgspec.Struct, frozen=True):
    """How many keys an export had that are new here, that were here, and that belong to people who were forgotten."""

    new: int
    known: int
    forgotten: int


class NotExported(InvalidInput):
    """A person whose key should be exported has none here."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        super().__init__(f"no key of {subject!r} is here; nothing was exported")


@router.get(
    "",
    summary="How many keys there are",
    response_class=Response,
    responses=answers(Vaulted, "The vault at a glance.", {"keys": 120, "forgotten": 3}),
)
async def vault(node: ServingNode) -> Response:
    """The keys of people that this node has, and how many it has destroyed."""
    return json(Vaulted(len(node.vault), len(node.vault.forgotten)))


@router.post("/seal")
async def seal(request: Request, node: ServingNode, room: BodyRoom) -> Response:
    """Seal what is personal in one event that names its `datasubject`, and give it back to be published.

    For those who publish straight on the bus, where nobody can do it for them; `cmd.vault.seal` there does the same.
    What `POST /events` gets is sealed by itself.
    """
    async with room.for_body(request, bytes_max=EVENT_BYTES_MAX):
        payloads = events_in(await read_body(request, bytes_max=EVENT_BYTES_MAX), "application/cloudevents+json")
        if len(payloads) != 1:
            raise MalformedEvent("seal one event at a time", "body")
        return Response(await node.intake.sealed(payloads[0]), media_type="application/cloudevents+json")


@router.post("/reveal")
async def reveal(request: Request, node: ServingNode, lanes: OpenLanes, room: BodyRoom) -> Response:
    """Give any text back with each sealed one in it revealed: a line of the log, an answer, a table.

    What comes as `application/json` or `application/x-ndjson` stays JSON. What can't be read is told as `[forgotten]`,
    as `[sealed]` where another node has the key, or as `[unreadable]`.
    """
    media_type = _kind(request.headers.get("content-type", ""))
    reveal_in = revealed_text if media_type == PLAIN else revealed_json
    async with room.for_body(request):
        text = _text(await read_body(request))
        found = await lanes.reads.run(partial(reveal_in, text, node.vault))
    return Response(found, media_type=media_type, headers={"cache-control": "no-store"})


@router.post(
    "/forget",
    summary="Forget a person",
    response_class=Response,
    responses=answers(Erased, "What that reached.", _ERASED),
)
async def forget(
    request: Request,
    node: ServingNode,
    dry_run: Annotated[bool, Query(description="Only say what it would reach.", examples=[True])] = False,
) -> Response:
    """Destroy every key of the person: what was sealed with them can't be read any more, wherever it is kept.

    There is no way back. A `datasubject.forgotten` in the log is the receipt, for each pseudonym that the person had;
    `places` says where the sealed texts are still, readable by nobody. 404 for somebody of whom no key is here.
    """
    asked = _asked(await read_body(request, bytes_max=ASKED_BYTES_MAX), Whom)
    doing = node.erasure.reach(asked.subject) if dry_run else node.erasure.forget(asked.subject)
    return json(await asyncio.shield(asyncio.ensure_future(doing)))


@router.post("/export")
async def export(request: Request, node: ServingNode, lanes: OpenLanes) -> Response:
    """The keys of some people, or of everybody, under a passphrase: for another node, or to be kept apart.

    Whoever has the file and the passphrase can read what those people say in any copy of the log, and forgetting does
    not reach the file.
    """
    asked = _asked(await read_body(request, bytes_max=EVENT_BYTES_MAX), Export)
    keys = node.vault.held
    if asked.subjects is not None:
        for subject in asked.subjects:
            if not node.vault.of(subject):
                raise NotExported(subject)
        keys = list({key.id: key for subject in asked.subjects for key in node.vault.of(subject)}.values())
    found = await lanes.reads.run(partial(exported, keys, asked.passphrase))
    return Response(found, media_type="application/json", headers={"cache-control": "no-store"})


@router.post(
    "/import",
    summary="Take keys in",
    response_class=Response,
    responses=answers(Imported, "What was new.", {"new": 2, "known": 0, "forgotten": 1}),
)
async def import_(request: Request, node: ServingNode, lanes: OpenLanes) -> Response:
    """Take in what another node's vault, or this one's, has exported. Whom the log says to be forgotten stays so."""
    asked = _asked(await read_body(request), Import)

    def take() -> Imported:
        keys = imported(asked.export.encode(), asked.passphrase)
        gone = {*receipts_in(node.log), *node.vault.forgotten}
        alive = [key for key in keys if key.id not in gone]
        new = node.vault.add(alive)
        return Imported(len(new), len(alive) - len(new), len(keys) - len(alive))

    return json(await lanes.reads.run(take), HTTPStatus.OK)


def _asked(body: bytes, kind: type[Asked]) -> Asked:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(str(error), "body") from None


def _kind(content_type: str) -> str:
    media_type = content_type.partition(";")[0].strip().lower()
    return NDJSON if media_type in NDJSON_ALIASES or media_type.endswith("json") else PLAIN


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise MalformedEvent(f"not UTF-8: {error}", "body") from None
