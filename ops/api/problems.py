"""Errors as RFC 9457 problem details: what was wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from ...bus import BusError, BusUnavailable, HistoryDamaged, WorkQueueFull
from ...eventstore import ArchiveDamaged, EventStoreError, ForeignArchive, NotYetSealed, ObjectsLost, UnknownLine
from ...handlers.a2a import CardUnreachable
from ...handlers.assignments import AssignmentOver, NotTheHolder, NotToRetry, UnknownAssignment
from ...handlers.dispatch import AgentNotAlive, NobodyCan
from ...handlers.fleet import AgentGone, DuplicateName, Fenced, UnknownAgent
from ...handlers.reactions import Contended, NotParked
from ...projections import (
    FoldFailed,
    NoSuchRow,
    NoWayBack,
    PastNotMade,
    QueryFailed,
    QueryNotAdmitted,
    QueryRefused,
    RebuildAbandoned,
    RebuildFailed,
    RebuildUnderWay,
    SideCarFailed,
    SnapshotFailed,
    TablesOutdated,
    UnknownReadModel,
)
from ...schemas import InvalidInput, RookeryError
from ..archiver import ArchiveRunning, ArchivingStopped, NoArchiveSet
from ..disk import DiskFull
from ..erasure import NobodyKnown
from ..health import HeldUp
from ..lanes import TooBusy
from ..live import TooManyReaders
from ..reactions import NothingParked
from ..rebuilds import failure_of
from ..syncing import InvalidBundle, PeerError
from ..verifying import VerificationRunning, VerificationStopped
from .bodies import BodyPacked, BodyTooLarge, BodyTooSlow, NoRoom
from .negotiation import NotAcceptable
from .pages import ForeignPage, UnknownName
from .waiting import NotYetVisible

MEDIA_TYPE = "application/problem+json"
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")

# The first that fits counts.
STATUSES: dict[type[RookeryError], HTTPStatus] = {
    NotParked: HTTPStatus.CONFLICT,
    AssignmentOver: HTTPStatus.CONFLICT,
    NotTheHolder: HTTPStatus.CONFLICT,
    NotToRetry: HTTPStatus.CONFLICT,
    NobodyCan: HTTPStatus.CONFLICT,
    AgentNotAlive: HTTPStatus.CONFLICT,
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    BodyTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    BodyPacked: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    NoRoom: HTTPStatus.SERVICE_UNAVAILABLE,
    UnknownReadModel: HTTPStatus.NOT_FOUND,
    NoSuchRow: HTTPStatus.NOT_FOUND,
    UnknownAssignment: HTTPStatus.NOT_FOUND,
    UnknownAgent: HTTPStatus.NOT_FOUND,
    DuplicateName: HTTPStatus.CONFLICT,
    AgentGone: HTTPStatus.CONFLICT,
    Fenced: HTTPStatus.CONFLICT,
    NothingParked: HTTPStatus.NOT_FOUND,
    Contended: HTTPStatus.CONFLICT,
    NobodyKnown: HTTPStatus.NOT_FOUND,
    QueryNotAdmitted: HTTPStatus.SERVICE_UNAVAILABLE,
    NotYetVisible: HTTPStatus.SERVICE_UNAVAILABLE,
    NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    QueryRefused: HTTPStatus.BAD_REQUEST,
    QueryFailed: HTTPStatus.BAD_REQUEST,
    PastNotMade: HTTPStatus.SERVICE_UNAVAILABLE,
    DiskFull: HTTPStatus.INSUFFICIENT_STORAGE,
    TooBusy: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyReaders: HTTPStatus.SERVICE_UNAVAILABLE,
    ForeignPage: HTTPStatus.FORBIDDEN,
    UnknownName: HTTPStatus.MISDIRECTED_REQUEST,
    HeldUp: HTTPStatus.SERVICE_UNAVAILABLE,
    RebuildUnderWay: HTTPStatus.CONFLICT,
    NoWayBack: HTTPStatus.CONFLICT,
    TablesOutdated: HTTPStatus.SERVICE_UNAVAILABLE,
    RebuildAbandoned: HTTPStatus.SERVICE_UNAVAILABLE,
    RebuildFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    SideCarFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    SnapshotFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    BusUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    WorkQueueFull: HTTPStatus.SERVICE_UNAVAILABLE,
    HistoryDamaged: HTTPStatus.SERVICE_UNAVAILABLE,
    BusError: HTTPStatus.BAD_GATEWAY,
    NoArchiveSet: HTTPStatus.CONFLICT,
    ArchiveRunning: HTTPStatus.CONFLICT,
    VerificationRunning: HTTPStatus.CONFLICT,
    VerificationStopped: HTTPStatus.SERVICE_UNAVAILABLE,
    ArchivingStopped: HTTPStatus.SERVICE_UNAVAILABLE,
    ForeignArchive: HTTPStatus.CONFLICT,
    ArchiveDamaged: HTTPStatus.BAD_GATEWAY,
    ObjectsLost: HTTPStatus.BAD_GATEWAY,
    UnknownLine: HTTPStatus.NOT_FOUND,
    NotYetSealed: HTTPStatus.CONFLICT,
    InvalidBundle: HTTPStatus.UNPROCESSABLE_ENTITY,
    PeerError: HTTPStatus.FAILED_DEPENDENCY,
    CardUnreachable: HTTPStatus.FAILED_DEPENDENCY,
    EventStoreError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def problem(status: HTTPStatus, detail: str, **members: Any) -> Response:
    """A problem details response; `members` are extension members of its object."""
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail, **members}
    return Response(msgspec.json.encode(body), status, media_type=MEDIA_TYPE)


def status_of(error: RookeryError, statuses: Mapping[type[RookeryError], HTTPStatus] | None = None) -> HTTPStatus:
    """The status that tells of the error; `statuses` come before those that are told everywhere."""
    ordered = [*(statuses or {}).items(), *STATUSES.items()]
    return next((status for kind, status in ordered if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(RookeryError, _rookery_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(WebSocketRequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)


async def _rookery_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RookeryError)
    where = msgspec.to_builtins(failure_of(error)) if isinstance(error, FoldFailed) else {}
    return problem(status_of(error), **{"detail": str(error), "error": type(error).__name__, **where})


async def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | WebSocketRequestValidationError)
    found = [
        {"where": ".".join(map(str, one["loc"])), "reason": one["msg"].removeprefix("Value error, ")}
        for one in error.errors()
    ]
    detail = "; ".join(f"{one['where']}: {one['reason']}" for one in found)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=found)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    what = f"{request.method} {request.url.path}: {error.detail}"
    response = problem(status, f"{what}; /docs lists what there is" if status in (404, 405) else what)
    response.headers.update(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["allow"] = ", ".join(_methods(request))
    return response


def _methods(request: Request) -> list[str]:
    """What the request's path takes. Each method has a route of its own, and the router names the first one's alone."""

    def is_taken(method: str) -> bool:
        asked = {**request.scope, "method": method}
        return any(route.matches(asked)[0] is Match.FULL for route in request.app.routes)

    return [method for method in METHODS if is_taken(method)]


async def _unforeseen(request: Request, error: Exception) -> Response:
    detail = f"the node failed over this request ({type(error).__name__}); its log says why"
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
