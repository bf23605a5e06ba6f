"""Spans in OTLP's binary encoding, decoded by the official classes, which are loaded when the first span comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from .errors import MalformedSpans, TooManySpans
from .spans import Attributes, Span, SpanEvent, bounded

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
    from opentelemetry.proto.trace.v1.trace_pb2 import Status

STATUS_ERROR = 2
RESOURCE_SPANS, SCOPE_SPANS, SPANS = 1, 2, 2  # the fields that lead to a span
PARTS = (9, 11, 13)  # and those of its attributes, events and links
PARTS_MAX = 1_000_000
PART_BYTES_MIN = 2
VARINT, LENGTH_DELIMITED = 0, 2
FIXED_BYTES = {1: 8, 5: 4}
VARINT_BITS_MAX = 63


def spans_in_protobuf(body: bytes) -> list[Span]:
    """The spans of an `ExportTraceServiceRequest`. Raises `MalformedSpans` and `TooManySpans`."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    _refuse_multitudes(body)
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise MalformedSpans(str(error)) from None
    return list(bounded(_spans(request)))


def _refuse_multitudes(body: bytes) -> None:
    """Refuse an export of too many spans, or of too much in them, unread.

    An empty span, or part of one, is two bytes there and a hundred times as many here.
    """
    counted = PARTS if len(body) > PARTS_MAX * PART_BYTES_MIN else ()
    try:
        groups = bounded(_messages(memoryview(body), RESOURCE_SPANS))
        scopes = bounded(scope for group in groups for scope in _messages(group, SCOPE_SPANS))
        spans = bounded(span for scope in scopes for span in _messages(scope, SPANS))
        parts = (part for span in spans if counted for part in _messages(span, *counted))
        if next(islice(parts, PARTS_MAX, None), None) is not None:
            raise TooManySpans(PARTS_MAX, "attributes, events and links")
    except IndexError:
        raise MalformedSpans("it ends within a field") from None


def _messages(message: memoryview, *fields: int) -> Iterator[memoryview]:
    """The messages in some fields of a message; `IndexError` where it ends too soon. What else is wrong, others say."""
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        kind = tag & 0b111
        if kind == LENGTH_DELIMITED:
            size, at = _number(message, at)
            if tag >> 3 in fields:
                yield message[at : at + size]
            at += size
        elif kind == VARINT:
            _, at = _number(message, at)
        else:
            at += FIXED_BYTES.get(kind, len(message))


def _number(message: memoryview, at: int) -> tuple[int, int]:
    """The varint that begins there, and where it ends."""
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 or shift > VARINT_BITS_MAX:
            return number, at


def _spans(request: Any) -> Iterator[Span]:
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield _span(span, resource)


def _span(span: Message, resource: Attributes) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        resource=resource,
        error=_error(span.status) if span.HasField("status") else None,
        events=[SpanEvent(event.name, _attributes(event.attributes)) for event in span.events],
    )


def _error(status: Status) -> str | None:
    return status.message if status.code == STATUS_ERROR else None


def _attributes(pairs: Iterable[KeyValue]) -> Attributes:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)
