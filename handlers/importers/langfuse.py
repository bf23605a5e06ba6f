"""Langfuse's exports: each observation is read as the span that it is, and becomes the events that a span becomes.

JSON or JSONL, from the table in the browser, the API (pages of observations, or traces with theirs) or the export to
blob storage, whose names are in snake case. Observations that came from OpenTelemetry keep its ids: imported here and
exported over OTLP, they are the same events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, BinaryIO

import msgspec

from ..otel import Span, Translator
from ..pricing import provider_of
from .documents import documents
from .found import Finding, Rejected
from .otlp import told

SOURCE = "/importers/langfuse"
# Observations of these types are spans of these kinds; the others tell of the trace alone.
KINDS: dict[str, dict[str, str]] = {
    "GENERATION": {"gen_ai.operation.name": "chat"},
    "EMBEDDING": {"gen_ai.operation.name": "embeddings"},
    "TOOL": {"gen_ai.operation.name": "execute_tool"},
    "AGENT": {"gen_ai.operation.name": "invoke_agent"},
}
OBSERVATION_TYPES = {*KINDS, "SPAN", "EVENT", "CHAIN", "RETRIEVER", "EVALUATOR", "GUARDRAIL"}
TRACE_ID_DIGITS, SPAN_ID_DIGITS = 32, 16

_HUMP = re.compile("(?<=[a-z0-9])(?=[A-Z])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


def read(file: BinaryIO, name: str, *, provider: str | None = None) -> Iterator[Finding]:
    """The events of the file's observations; the provider of a model is guessed from its name unless it is given."""
    translator = Translator(source=SOURCE)
    for document in documents(file):
        if isinstance(document, Rejected):
            yield document
            continue
        spans: list[Span] = []
        for row in _rows_in(document.value):
            span = row if isinstance(row, str) else _span_or_reason(row, provider)
            if isinstance(span, str):
                yield Rejected(document.where, span)
            else:
                spans.append(span)
        yield from told(spans, document.where, translator)


def _rows_in(text: bytes) -> Iterator[Row | str]:
    """The observations in a page, a trace or an observation; a reason where it is none of them."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        yield str(error)
        return
    inside = document.get("data") or document.get("observations") if isinstance(document, dict) else None
    for one in inside if isinstance(inside, list) else [document]:
        if isinstance(one, dict) and isinstance(within := one.get("observations"), list) and within:
            yield from (_in_snakes(each) for each in within if isinstance(each, dict))
        elif isinstance(one, dict):
            yield _in_snakes(one)
        else:
            yield f"expected an observation, found {type(one).__name__}"


def _in_snakes(row: Row) -> Row:
    return {_HUMP.sub("_", name).lower(): value for name, value in row.items()}


def _span_or_reason(row: Row, provider: str | None) -> Span | str:
    kind = str(row.get("type", "")).upper()
    if kind not in OBSERVATION_TYPES:
        return f"expected an observation with a `type` as GENERATION, found {row.get('type')!r:.40}"
    try:
        start_ns = _nanoseconds(row.get("start_time"))
        end_ns = _nanoseconds(row.get("end_time")) if row.get("end_time") else 0
    except (ValueError, OverflowError):
        return f"expected times as in `2026-05-29 13:46:19.963`, found {row.get('start_time')!r:.40}"
    if not isinstance(row.get("id"), str) or not row["id"]:
        return "the observation has no `id`"
    trace = str(row.get("trace_id") or row["id"])
    return Span(
        trace_id=_hex(trace, TRACE_ID_DIGITS),
        span_id=_hex(row["id"], SPAN_ID_DIGITS),
        parent_id=_hex(str(row["parent_observation_id"]), SPAN_ID_DIGITS) if row.get("parent_observation_id") else "",
        name=str(row.get("name") or ""),
        start_ns=start_ns,
        end_ns=end_ns,
        attributes=KINDS.get(kind, {}) | _attributes(row, kind, provider),
        error=str(row.get("status_message") or "") if row.get("level") == "ERROR" else None,
    )


def _attributes(row: Row, kind: str, provider: str | None) -> dict[str, Any]:
    model = row.get("model") or row.get("provided_model_name")
    began, first_token = row.get("start_time"), row.get("completion_start_time")
    found = {
        "gen_ai.request.model": model,
        "gen_ai.provider.name": provider or (provider_of(model) if isinstance(model, str) else None),
        "gen_ai.usage.cost": _cost(row),
        "gen_ai.response.time_to_first_chunk": _seconds(began, first_token),
        "gen_ai.conversation.id": row.get("session_id"),
        "gen_ai.tool.name": row.get("name") if kind == "TOOL" else None,
        "gen_ai.agent.name": row.get("name") if kind == "AGENT" else None,
    }
    if kind == "GENERATION":
        found |= {"gen_ai.input.messages": _asked(row.get("input")), "gen_ai.output.messages": _said(row.get("output"))}
    else:
        found |= {"input.value": row.get("input"), "output.value": row.get("output")}
    return {name: value for name, value in (found | _usage(row)).items() if value is not None}


def _cost(row: Row) -> Any:
    """What Langfuse says that it cost: nothing only where no name says more. None: it doesn't know."""
    given = [row.get("total_cost"), row.get("calculated_total_cost")]
    return next(filter(None, given), 0 if 0 in given else None)


def _usage(row: Row) -> dict[str, int]:
    """Tokens as the conventions count them: Langfuse's buckets are disjoint, those include what came from a cache."""
    details = row.get("usage_details") or row.get("usage") or {}
    counts = {name.lower(): count for name, count in details.items()} if isinstance(details, dict) else {}
    counts = {name: count for name, count in counts.items() if isinstance(count, int) and not isinstance(count, bool)}
    wanted = {
        "gen_ai.usage.input_tokens": ("input", "prompt"),
        "gen_ai.usage.output_tokens": ("output", "completion"),
        "gen_ai.usage.cache_read.input_tokens": ("cache_read", "cached"),
        "gen_ai.usage.cache_creation.input_tokens": ("cache_creation", "cache_write"),
        "gen_ai.usage.reasoning.output_tokens": ("reasoning",),
    }
    sums = {
        name: [count for bucket, count in counts.items() if any(word in bucket for word in words)]
        for name, words in wanted.items()
    }
    return {name: sum(found) for name, found in sums.items() if found}


def _asked(given: Any) -> Any:
    """The messages that were asked, in whichever wrapping."""
    if isinstance(given, dict) and isinstance(given.get("messages"), list):
        return given["messages"]
    return given if isinstance(given, list) else None if given is None else [{"role": "user", "content": given}]


def _said(given: Any) -> Any:
    return given if isinstance(given, list) or given is None else [given]


def _nanoseconds(given: Any) -> int:
    return (_time(given) - _EPOCH) // timedelta(microseconds=1) * 1_000


def _seconds(began: Any, ended: Any) -> float | None:
    try:
        return (_time(ended) - _time(began)).total_seconds() if ended else None
    except (ValueError, OverflowError):
        return None


def _time(given: Any) -> datetime:
    if not isinstance(given, str):
        raise ValueError("no time")
    time = datetime.fromisoformat(given)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _hex(given: str, digits: int) -> str:
    """The id itself where it is OpenTelemetry's, or else a digest of it."""
    plain = given.replace("-", "").lower()
    is_id = len(plain) == digits and all(digit in "0123456789abcdef" for digit in plain)
    return plain if is_id else sha256(given.encode(errors="replace")).hexdigest()[:digits]
