"""Exported traces: files of OTLP requests, in JSON or in protobuf, become the events that a node makes of them.

JSON comes as an array of requests, one a line (as the Collector's file exporter writes them), or one that is the whole
file. Protobuf comes as one request, or as many with their length in front of each in four bytes, as the same exporter
writes them. A span's id makes its event's, so what came over the network already is there already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import BinaryIO

from ..otel import MalformedSpans, Span, TooManySpans, Translator, spans_in_json, spans_in_protobuf
from .documents import DOCUMENT_BYTES_MAX, documents
from .elements import Element
from .found import Finding, Rejected, found

LENGTH_BYTES = 4
LENGTH_BEGINS = b"\x00"  # of any request of less than 16 MiB
REQUEST_BEGINS = b"\x0a"  # protobuf's tag of `resource_spans`, and in a file of JSON an empty line
JSON_BEGINS = (b"{", b"[", b"\n", b"\r", b" ", b"\t")

Spans = Element[list[Span]]


def read(file: BinaryIO, name: str) -> Iterator[Finding]:
    """The events that the file's spans tell, request by request."""
    translator = Translator()
    for request in _requests(file):
        if isinstance(request, Rejected):
            yield request
        else:
            yield from told(request.value, request.where, translator)


def told(spans: Sequence[Span], where: str, translator: Translator) -> Iterator[Finding]:
    """The events that these spans tell, and the spans that can't be told."""
    translation = translator.translate(spans, now=datetime.now(UTC))
    for rejection in translation.rejections:
        yield Rejected(_place(where, rejection.span_id), rejection.reason)
    for event, position in translation.told:
        yield found(event, _place(where, spans[position].span_id))


def _requests(file: BinaryIO) -> Iterator[Spans | Rejected]:
    beginning = file.read(2)
    file.seek(0)
    if beginning[:1] == LENGTH_BEGINS:
        yield from _with_lengths(file)
    elif beginning[:1] == REQUEST_BEGINS and beginning[1:] not in JSON_BEGINS:
        yield _in_protobuf(file.read(DOCUMENT_BYTES_MAX + 1), "")
    else:
        for document in documents(file):
            yield document if isinstance(document, Rejected) else _in_json(document)


def _with_lengths(file: BinaryIO) -> Iterator[Spans | Rejected]:
    number = 0
    while length := file.read(LENGTH_BYTES):
        number += 1
        size = int.from_bytes(length, "big")
        if len(length) < LENGTH_BYTES or size > DOCUMENT_BYTES_MAX:
            yield Rejected(f"request {number}", "expected a length in four bytes; from here on nothing was read")
            return
        yield _in_protobuf(file.read(size), f"request {number}")


def _in_protobuf(body: bytes, where: str) -> Spans | Rejected:
    if len(body) > DOCUMENT_BYTES_MAX:
        return Rejected(where, f"the request is longer than {DOCUMENT_BYTES_MAX:,} bytes")
    try:
        return Element(where, spans_in_protobuf(body))
    except (MalformedSpans, TooManySpans) as error:
        return Rejected(where, str(error))


def _in_json(document: Element[bytes]) -> Spans | Rejected:
    try:
        return Element(document.where, spans_in_json(document.value))
    except (MalformedSpans, TooManySpans) as error:
        return Rejected(document.where, str(error))


def _place(where: str, span_id: str) -> str:
    return ", ".join(part for part in (where, f"span {span_id[:40]}") if part)
