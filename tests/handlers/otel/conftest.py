"""Spans to translate, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from rookery.handlers.otel import Span, Translation, Translator
from rookery.schemas import check_strictly, encode

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 10**9
CHAT_NAMES = {"gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.prompt.0.role"}
TRACE = "0af7651916cd43dd8448eb211c80319c"


def translated(spans: Iterable[Span], translator: Translator | None = None) -> Translation:
    return (translator or Translator()).translate(list(spans), now=NOW)


def events(translation: Translation) -> list[dict[str, Any]]:
    """The events as they travel, each of them held against the contract of its type."""
    payloads = [encode(told.event) for told in translation.told]
    for payload in payloads:
        check_strictly(payload)
    return [msgspec.json.decode(payload) for payload in payloads]


def told(*spans: Span) -> list[dict[str, Any]]:
    translation = translated(spans)
    assert translation.rejections == []
    return events(translation)


def data(*spans: Span) -> dict[str, Any]:
    """The payload of the one event that these spans tell."""
    (event,) = told(*spans)
    found: dict[str, Any] = event["data"]
    return found


def span(number: int = 2, attributes: dict[str, Any] | None = None, **more: Any) -> Span:
    """A span of a second, the `number`th of its trace, beneath the first unless it says otherwise."""
    given = {
        "trace_id": TRACE,
        "span_id": f"{number:016x}",
        "parent_id": "" if number == 1 else f"{1:016x}",
        "start_ns": NOW_NS - 10**9,
        "end_ns": NOW_NS,
        "attributes": attributes or {},
    }
    return Span(**(given | more))
