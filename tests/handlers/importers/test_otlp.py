"""Files of OTLP requests, in every form that exporters write them in."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rookery.handlers.importers.documents import DOCUMENT_BYTES_MAX
from rookery.handlers.importers.found import Found, Rejected
from rookery.handlers.importers.otlp import read

END_NS = 1_763_640_000 * 10**9
ATTRIBUTES = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}


def request(*numbers: int) -> dict[str, Any]:
    spans = [
        {
            "traceId": f"{7:032x}",
            "spanId": f"{number:016x}",
            "parentSpanId": f"{99:016x}",
            "startTimeUnixNano": str(END_NS),
            "endTimeUnixNano": str(END_NS),
            "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in ATTRIBUTES.items()],
        }
        for number in numbers
    ]
    return {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}


def in_protobuf(*numbers: int) -> bytes:
    message = ExportTraceServiceRequest()
    spans = message.resource_spans.add().scope_spans.add().spans
    for number in numbers:
        span = spans.add(trace_id=(7).to_bytes(16, "big"), span_id=number.to_bytes(8, "big"))
        span.parent_span_id = (99).to_bytes(8, "big")
        span.start_time_unix_nano = span.end_time_unix_nano = END_NS
        for key, value in ATTRIBUTES.items():
            span.attributes.add(key=key).value.string_value = value
    return message.SerializeToString()


def framed(*messages: bytes) -> bytes:
    return b"".join(len(one).to_bytes(4, "big") + one for one in messages)


def text(*requests: dict[str, Any], indent: int | None = None) -> bytes:
    return b"\n".join(json.dumps(one, indent=indent).encode() for one in requests)


def found(content: bytes) -> list[bytes]:
    return [one.payload for one in read(BytesIO(content), "traces") if isinstance(one, Found)]


def rejected(content: bytes) -> list[Rejected]:
    return [one for one in read(BytesIO(content), "traces") if isinstance(one, Rejected)]


EXPECTED = found(text(request(1, 2, 3)))


@pytest.mark.parametrize(
    "content",
    [
        text(request(1), request(2, 3)),
        b"\r\n\n" + text(request(1), request(2, 3)) + b"\n",
        b"\n" + text(request(1, 2, 3)),
        b"\xef\xbb\xbf" + text(request(1, 2), request(3)),
        text(request(1, 2, 3), indent=2),
        json.dumps([request(1), request(2), request(3)]).encode(),
        json.dumps([request(1), request(2, 3)], indent=1).encode(),
        in_protobuf(1, 2, 3),
        framed(in_protobuf(1), in_protobuf(2, 3)),
    ],
)
def test_every_form_of_file_gives_the_same_events(content: bytes) -> None:
    assert len(EXPECTED) == 3
    assert found(content) == EXPECTED
    assert rejected(content) == []


def test_an_empty_file_has_no_events() -> None:
    assert list(read(BytesIO(b""), "traces")) == []


def test_a_bad_line_costs_only_itself() -> None:
    content = text(request(1)) + b"\n{nonsense}\n" + text(request(2))
    assert len(found(content)) == 2
    (bad,) = rejected(content)
    assert bad.where == "line 2"


def test_a_bad_span_is_named_and_costs_only_itself() -> None:
    both = request(1, 2)
    both["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = "x"
    (bad,) = rejected(text(both))
    assert bad.where == f"line 1, span {1:016x}"
    assert len(found(text(both))) == 1


@pytest.mark.parametrize("cut", [1, 3, 20, 100])
def test_a_file_of_protobuf_that_was_cut_short_gives_what_was_before(cut: int) -> None:
    whole = framed(in_protobuf(1), in_protobuf(2))
    assert (len(found(whole[:-cut])), len(rejected(whole[:-cut]))) == (1, 1)


@pytest.mark.parametrize("content", [b"\x00\xff\xff\xff" * 3, b"\x0a\xff\xff\xff", b"PK\x03\x04", b"null", b"5\n"])
def test_what_is_no_export_is_rejected(content: bytes) -> None:
    assert found(content) == []
    assert rejected(content)


def test_a_document_that_is_too_long_is_rejected_and_the_next_is_read() -> None:
    content = b" " * (DOCUMENT_BYTES_MAX + 1) + b"\n" + text(request(1))
    (bad,) = rejected(content)
    assert (bad.where, len(found(content))) == ("line 1", 1)
