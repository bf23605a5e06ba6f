"""The two forms that OTLP's messages have over HTTP, protobuf and its JSON, either of them packed with gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import NamedTuple

import msgspec

from ...handlers.otel import Span, spans_in_json, spans_in_protobuf
from ...schemas import InvalidInput, RookeryError
from .bodies import BodyTooLarge

EXPORT_BYTES_MAX = 20 * 2**20  # as the protocol recommends: of a body as it comes, and of what it unpacks to


class UnsupportedForm(RookeryError):
    """A body comes in a form that OTLP does not have."""

    def __init__(self, header: str, value: str, allowed: Sequence[str]) -> None:
        self.header = header
        self.value = value
        self.allowed = allowed
        super().__init__(f"{header} is {value!r}; it may be {' or '.join(allowed)}")


class DamagedBody(InvalidInput):
    """A body can't be unpacked."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the body can't be unpacked as gzip: {reason}")


class Rejected(NamedTuple):
    """How many spans of an export were not taken, and why, of the first of them."""

    spans: int
    reasons: str


class Form(NamedTuple):
    """One way to write messages: how spans are read, and how answers and failures (`google.rpc.Status`) are written."""

    media_type: str
    spans_in: Callable[[bytes], list[Span]]
    answer: Callable[[Rejected], bytes]
    failure: Callable[[str], bytes]


def form_of(content_type: str) -> Form:
    """The form of a body. Raises `UnsupportedForm`."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in FORMS:
        raise UnsupportedForm("Content-Type", content_type, list(FORMS))
    return FORMS[media_type]


def is_packed(content_encoding: str) -> bool:
    """Whether a body is packed. Raises `UnsupportedForm`."""
    encoding = content_encoding.strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise UnsupportedForm("Content-Encoding", content_encoding, ["gzip", "absent"])
    return encoding == "gzip"


def unpacked(body: bytes) -> bytes:
    """What was packed. Raises `DamagedBody`, and `BodyTooLarge` as soon as it is, however much more there would be."""
    try:
        with gzip.GzipFile(fileobj=BytesIO(body)) as file:
            content = file.read(EXPORT_BYTES_MAX + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedBody(str(error)) from None
    if len(content) > EXPORT_BYTES_MAX:
        raise BodyTooLarge(EXPORT_BYTES_MAX, "bytes")
    return content


def _answer_in_protobuf(rejected: Rejected) -> bytes:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTracePartialSuccess,
        ExportTraceServiceResponse,
    )

    if not rejected.spans:
        return b""
    partial = ExportTracePartialSuccess(rejected_spans=rejected.spans, error_message=rejected.reasons)
    return ExportTraceServiceResponse(partial_success=partial).SerializeToString()


def _answer_in_json(rejected: Rejected) -> bytes:
    if not rejected.spans:
        return b"{}"
    partial = {"rejectedSpans": str(rejected.spans), "errorMessage": rejected.reasons}
    return msgspec.json.encode({"partialSuccess": partial})


def _failure_in_protobuf(message: str) -> bytes:
    """`google.rpc.Status` with its second field, `message`: not worth a package of Google's messages."""
    text = message.encode()
    size, length = bytearray(), len(text)
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    return b"\x12" + bytes([*size, length]) + text


def _failure_in_json(message: str) -> bytes:
    return msgspec.json.encode({"message": message})


PROTOBUF = Form("application/x-protobuf", spans_in_protobuf, _answer_in_protobuf, _failure_in_protobuf)
JSON = Form("application/json", spans_in_json, _answer_in_json, _failure_in_json)
FORMS = {form.media_type: form for form in (PROTOBUF, JSON)}
