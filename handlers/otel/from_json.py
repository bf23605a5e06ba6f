"""Spans in OTLP's JSON encoding: protobuf's JSON mapping, but for ids in hex and enumerations as numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from .errors import MalformedSpans, TooManySpans
from .spans import Attributes, Span, SpanEvent, bounded

STATUS_ERROR = (2, "STATUS_CODE_ERROR")
DIGITS_MAX = 20  # of a 64-bit number
OBJECTS_MAX = 1_000_000  # an attribute is two of them


class _AnyValue(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    array_value: _Values | None = None
    kvlist_value: _Pairs | None = None
    bytes_value: str | None = None


class _Values(msgspec.Struct):
    values: list[_AnyValue | None] | None = None


class _Pair(msgspec.Struct):
    key: str = ""
    value: _AnyValue | None = None


class _Pairs(msgspec.Struct):
    values: list[_Pair] | None = None


class _Event(msgspec.Struct):
    name: str | None = None
    attributes: list[_Pair] | None = None


class _Status(msgspec.Struct):
    code: int | str | None = None
    message: str | None = None


class _Span(msgspec.Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    attributes: list[_Pair] | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _Scope(msgspec.Struct):
    spans: list[_Span] | None = None


class _Resource(msgspec.Struct):
    attributes: list[_Pair] | None = None


class _Group(msgspec.Struct, rename="camel"):
    resource: _Resource | None = None
    scope_spans: list[_Scope] | None = None


class _Request(msgspec.Struct, rename="camel"):
    resource_spans: list[_Group] | None = None


_decoder = msgspec.json.Decoder(_Request)


def spans_in_json(body: bytes) -> list[Span]:
    """The spans of an `ExportTraceServiceRequest`. Raises `MalformedSpans` and `TooManySpans`."""
    if body.count(b"{") > OBJECTS_MAX:
        raise TooManySpans(OBJECTS_MAX, "objects")  # an empty one is three bytes there and a hundred times as many here
    try:
        return list(bounded(_spans(_decoder.decode(body))))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedSpans(str(error)) from None


def _spans(request: _Request) -> Iterator[Span]:
    for group in request.resource_spans or ():
        resource = _attributes(group.resource.attributes) if group.resource else {}
        for scope in group.scope_spans or ():
            for span in scope.spans or ():
                yield _span(span, resource)


def _span(span: _Span, resource: Attributes) -> Span:
    status = span.status or _Status()
    return Span(
        trace_id=(span.trace_id or "").lower(),
        span_id=(span.span_id or "").lower(),
        parent_id=(span.parent_span_id or "").lower(),
        name=span.name or "",
        start_ns=_integer(span.start_time_unix_nano or 0),
        end_ns=_integer(span.end_time_unix_nano or 0),
        attributes=_attributes(span.attributes),
        resource=resource,
        error=(status.message or "") if status.code in STATUS_ERROR else None,
        events=[SpanEvent(event.name or "", _attributes(event.attributes)) for event in span.events or ()],
    )


def _attributes(pairs: list[_Pair] | None) -> Attributes:
    return {pair.key: _value(pair.value) for pair in pairs or ()}


def _value(value: _AnyValue | None) -> Any:
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return _integer(value.int_value)
    if value.array_value is not None:
        return [_value(one) for one in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return _attributes(value.kvlist_value.values)
    return next((one for one in (value.bool_value, value.double_value, value.bytes_value) if one is not None), None)


def _integer(given: int | str) -> int:
    """A 64-bit number, which protobuf's JSON writes as a string."""
    if isinstance(given, int):
        return given
    if len(given) > DIGITS_MAX or not given.removeprefix("-").isdecimal():
        raise MalformedSpans(f"expected a whole number of 64 bits, found {given[:40]!r}")
    return int(given)
