"""Both encodings of OTLP give the same spans, and what is no export is refused as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rookery.handlers.otel import SPANS_MAX, MalformedSpans, Span, TooManySpans, spans_in_json, spans_in_protobuf
from rookery.handlers.otel import conventions as named
from rookery.handlers.otel.spans import SpanEvent

from .conftest import CHAT_NAMES, TRACE, events, span, translated

EXPECTED = Span(
    trace_id=TRACE,
    span_id="b7ad6b7169203331",
    parent_id="00f067aa0ba902b7",
    name="chat",
    start_ns=1_763_640_000_000_000_001,
    end_ns=1_763_640_001_000_000_000,
    attributes={"s": "ä", "i": -(2**63), "d": 0.5, "b": False, "l": ["x", 1], "m": {"k": {"n": 2}}, "none": None},
    resource={"service.name": "shop"},
    error="boom",
    events=[SpanEvent("exception", {"exception.message": "x"})],
)


def in_json() -> bytes:
    values = {
        "s": {"stringValue": "ä"},
        "i": {"intValue": str(-(2**63))},
        "d": {"doubleValue": 0.5},
        "b": {"boolValue": False},
        "l": {"arrayValue": {"values": [{"stringValue": "x"}, {"intValue": 1}]}},
        "m": {"kvlistValue": {"values": [{"key": "k", "value": {"kvlistValue": {"values": [
            {"key": "n", "value": {"intValue": "2"}}]}}}]}},
        "none": {},
    }  # fmt: skip
    one = {
        "traceId": EXPECTED.trace_id.upper(),
        "spanId": EXPECTED.span_id,
        "parentSpanId": EXPECTED.parent_id,
        "flags": 257,
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": str(EXPECTED.start_ns),
        "endTimeUnixNano": EXPECTED.end_ns,
        "attributes": [{"key": key, "value": value} for key, value in values.items()],
        "status": {"code": 2, "message": "boom"},
        "events": [
            {"name": "exception", "attributes": [{"key": "exception.message", "value": {"stringValue": "x"}}]},
        ],
        "somethingNew": {"a": [1]},
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [one]}]}]}).encode()


def in_protobuf() -> bytes:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    one = group.scope_spans.add().spans.add(
        trace_id=bytes.fromhex(EXPECTED.trace_id),
        span_id=bytes.fromhex(EXPECTED.span_id),
        parent_span_id=bytes.fromhex(EXPECTED.parent_id),
        name="chat",
        start_time_unix_nano=EXPECTED.start_ns,
        end_time_unix_nano=EXPECTED.end_ns,
    )
    values = {name: one.attributes.add(key=name).value for name in EXPECTED.attributes}
    values["s"].string_value = "ä"
    values["i"].int_value = -(2**63)
    values["d"].double_value = 0.5
    values["b"].bool_value = False
    values["l"].array_value.values.add().string_value = "x"
    values["l"].array_value.values.add().int_value = 1
    inner = values["m"].kvlist_value.values.add(key="k").value
    inner.kvlist_value.values.add(key="n").value.int_value = 2
    one.status.code, one.status.message = 2, "boom"
    one.events.add(name="exception").attributes.add(key="exception.message").value.string_value = "x"
    return request.SerializeToString()


def test_json_gives_the_span() -> None:
    assert spans_in_json(in_json()) == [EXPECTED]


def test_protobuf_gives_the_same_span() -> None:
    assert spans_in_protobuf(in_protobuf()) == [EXPECTED]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"\xff",
        b'{"resourceSpans":{}}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"soon"}]}]}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"' + b"9" * 5_000 + b'"}]}]}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"\\ud800"}]}]}]}',
    ],
)
def test_what_is_no_export_in_json_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedSpans):
        spans_in_json(body)


def test_an_export_that_ends_too_soon_is_refused() -> None:
    body = in_protobuf()
    for size in range(1, len(body)):
        with pytest.raises(MalformedSpans):
            spans_in_protobuf(body[:size])
    for size in range(len(in_json())):
        with pytest.raises(MalformedSpans):
            spans_in_json(in_json()[:size])


@pytest.mark.parametrize("levels", [50, 5_000, 200_000])
def test_values_nested_however_deep_do_no_harm(levels: int) -> None:
    value = b'{"arrayValue":{"values":[' * levels + b'{"intValue":1}' + b"]}}" * levels
    one = b'{"attributes":[{"key":"a","value":' + value + b"}]}"
    body = b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + one + b"]}]}]}"
    try:
        assert len(spans_in_json(body)) == 1
    except MalformedSpans:
        assert levels > 50


def test_what_can_be_read_and_not_be_written_costs_no_export() -> None:
    """The stack allows what was decoded high up to be encoded no further down: at which depth, only trying tells."""
    for levels in range(600, 1_000):
        nest = "[" * levels + "]" * levels
        asked = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": f'[{{"role":"user","content":{nest}}}]'}
        called = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.arguments": nest}
        assert translated([span(1, asked), span(2, called)]).rejections == []


def test_an_export_of_too_many_spans_is_refused() -> None:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for _ in range(SPANS_MAX + 1):
        spans.add()
    with pytest.raises(TooManySpans):
        spans_in_protobuf(request.SerializeToString())
    del spans[-1]
    assert len(spans_in_protobuf(request.SerializeToString())) == SPANS_MAX


def framed(tag: int, message: bytes) -> bytes:
    sizes = bytes(0x80 | len(message) >> shift & 0x7F for shift in (0, 7, 14)) + bytes([len(message) >> 21])
    return bytes([tag]) + sizes + message


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x00" * 1_000_000,
        framed(0x0A, b"\x12\x00" * 1_000_000),
        framed(0x0A, framed(0x12, b"\x12\x00" * 1_000_000)),
        framed(0x0A, framed(0x12, framed(0x12, b"\x5a\x00" * 1_000_001))),
        framed(0x0A, framed(0x12, framed(0x12, b"\x6a\x00\x4a\x00" * 500_001))),
    ],
)
def test_a_multitude_of_nothings_is_refused(body: bytes) -> None:
    with pytest.raises(TooManySpans):
        spans_in_protobuf(body)


def test_a_multitude_of_nothings_in_json_is_refused() -> None:
    with pytest.raises(TooManySpans):
        spans_in_json(b'{"resourceSpans":[' + b"{}," * 1_000_000 + b"{}]}")


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_spans_or_refused(body: bytes) -> None:
    for read in (spans_in_json, spans_in_protobuf):
        with suppress(MalformedSpans):
            translated(read(body))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = sorted({name for value in vars(named).values() if isinstance(value, tuple) for name in value} | CHAT_NAMES)


@given(
    operation=st.sampled_from(sorted(named.OPERATIONS)),
    attributes=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8),
    name=st.text(max_size=20),
    error=st.none() | st.text(max_size=20),
)
@settings(max_examples=300, deadline=None)
def test_whatever_a_span_says_its_events_keep_the_contract(
    operation: str, attributes: dict[str, Any], name: str, error: str | None
) -> None:
    odd = span(1, attributes | {"gen_ai.operation.name": operation}, name=name, error=error)
    assert translated([odd]).rejections == []
    events(translated([odd]))


def test_protobuf_is_loaded_when_the_first_span_comes() -> None:
    program = "import rookery.handlers.otel, sys; sys.exit('google.protobuf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
