"""OTLP over HTTP: what instrumented agents export as traces becomes events.

The protocol is OpenTelemetry's, with its answers and its errors (opentelemetry.io/docs/specs/otlp): by the status an
exporter decides whether to send the same spans again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from prometheus_client import Metric

from ...handlers.otel import Rejection, TooManySpans, Translator
from ...schemas import InvalidInput, RookeryError, encode
from ..disk import DiskFull
from ..families import counter
from ..lanes import Lane
from ..node import Node
from .bodies import read_body
from .dependencies import BodyRoom, ServingNode
from .otlp_forms import (
    EXPORT_BYTES_MAX,
    PROTOBUF,
    Form,
    Rejected,
    UnsupportedForm,
    form_of,
    is_packed,
    unpacked,
)
from .problems import status_of

EVENTS_AT_ONCE_MAX = 5_000
EXPORTS_AT_ONCE_MAX = 1  # decoding is one thread's work at a time, and a large one takes room
EXPORTS_WAITING_MAX = 64
REASONS_SHOWN_MAX = 3
RETRY_SECONDS = 5

# The first that fits counts, before our own: what an exporter should, or should not, send again.
STATUSES: dict[type[RookeryError], HTTPStatus] = {
    UnsupportedForm: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    TooManySpans: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    InvalidInput: HTTPStatus.BAD_REQUEST,
    DiskFull: HTTPStatus.SERVICE_UNAVAILABLE,
}

router = APIRouter()


@router.post("/v1/traces", include_in_schema=False)  # OpenTelemetry's own documents describe it
async def traces(request: Request, node: ServingNode, room: BodyRoom) -> Response:
    """Take an `ExportTraceServiceRequest`. Answers when all that its spans tell is durable.

    Spans that tell nothing of models, tools or agents are taken and ignored. Those that can't become events are counted
    in the answer's `partial_success`; the others are taken all the same. The same span twice is one event.
    """
    exports = request.app.state.exports
    assert isinstance(exports, Exports)
    form = PROTOBUF
    try:
        form = form_of(request.headers.get("content-type", ""))
        packed = is_packed(request.headers.get("content-encoding", ""))
        async with room.for_body(request, bytes_max=EXPORT_BYTES_MAX):
            body = await read_body(request, bytes_max=EXPORT_BYTES_MAX, may_be_packed=True)
            rejected = await exports.take(node, body, form, packed=packed)
    except RookeryError as error:
        return _failure(form, status_of(error, STATUSES), str(error))
    return Response(form.answer(rejected), media_type=form.media_type)


class Exports:
    """What one node makes of the spans that are exported to it, and how many there were."""

    def __init__(self) -> None:
        self.spans = Counter(recorded=0, ignored=0, rejected=0)
        self._translator = Translator()
        self._lane = Lane("exports", EXPORTS_AT_ONCE_MAX, EXPORTS_WAITING_MAX)

    async def take(self, node: Node, body: bytes, form: Form, *, packed: bool) -> Rejected:
        """Publish what the spans tell; return when it is durable on the bus. Raises what keeps all of them out."""
        export = await self._lane.run(partial(self._read, body, form, packed=packed))
        reasons = {one.position: f"span {one.span_id[:40]}: {one.reason}" for one in export.rejections}
        for start in range(0, len(export.payloads), EVENTS_AT_ONCE_MAX):
            taken = await node.take(export.payloads[start : start + EVENTS_AT_ONCE_MAX], wait="durable")
            for refusal in taken.refusals:
                position = export.positions[start + refusal.index]
                reasons[position] = f"span {export.span_ids[position]}: {refusal.field} {refusal.reason}"
        recorded = len(set(export.positions) - reasons.keys())
        self.spans.update(recorded=recorded, ignored=export.ignored, rejected=len(reasons))
        return Rejected(len(reasons), "; ".join(list(reasons.values())[:REASONS_SHOWN_MAX]))

    def families(self) -> Iterator[Metric]:
        """The spans as a metric."""
        samples = [([outcome], count) for outcome, count in self.spans.items()]
        yield counter("otlp_spans", "Spans that came by OTLP, by what became of them.", ["outcome"], samples)

    def _read(self, body: bytes, form: Form, *, packed: bool) -> Export:
        """Takes its time: for a thread."""
        spans = form.spans_in(unpacked(body) if packed else body)
        translation = self._translator.translate(spans, now=datetime.now(UTC))
        return Export(
            payloads=[encode(told.event) for told in translation.told],
            positions=[told.position for told in translation.told],
            span_ids=[span.span_id for span in spans],
            rejections=translation.rejections,
            ignored=translation.ignored,
        )


class Export(NamedTuple):
    """What an export's spans tell: payloads, each with the position of its span, and what could not be told."""

    payloads: list[bytes]
    positions: list[int]
    span_ids: list[str]
    rejections: list[Rejection]
    ignored: int


def _failure(form: Form, status: HTTPStatus, message: str) -> Response:
    again = status == HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"retry-after": str(RETRY_SECONDS)} if again else None
    return Response(form.failure(message), status, headers=headers, media_type=form.media_type)
