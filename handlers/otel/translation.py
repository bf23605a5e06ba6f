"""Spans become events: what a model call cost, how a tool did, when a run began and how it ended.

A trace is a run. Its root span tells when it began and how it ended; an agent that is invoked further down is a run of
its own, part of the trace's. Model and tool calls belong to the trace's run, and to the agent that they name. So what a
span becomes depends on that span: in whatever order spans come, however they are batched and how often, they become the
same events, under ids that are made of the trace's and the span's.

Only a root that says nothing of models or agents, as a web request's, needs to be known for a run's: by the others of
its trace, which came with it or before it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

from ...schemas import (
    Event,
    EventData,
    MessageRecorded,
    RunCompleted,
    RunFailed,
    RunStarted,
    derived_id,
    type_of,
)
from .actors import agent_invoked, agent_of, service_of, source_of
from .calls import error_of, model_call, registration, tool_call
from .conventions import CONVERSATION, RESULT, TASK, Reading, reading_of
from .messages import Role, Turn, last_text, turns_in
from .spans import Span
from .values import as_name, text_in, time_at

TRACES_MAX = 10_000
# Who exports with a clock that far off would put events where no report looks for them.
TIME_MIN_NS = 946_684_800 * 10**9  # the year 2000
AHEAD_MAX = timedelta(days=1)

_TRACE_ID = re.compile("(?!0+$)[0-9a-f]{32}")
_SPAN_ID = re.compile("(?!0+$)[0-9a-f]{16}")


class Told(NamedTuple):
    """An event, and the position of its span among those that were translated."""

    event: Event
    position: int


class Rejection(NamedTuple):
    """A span that can't become events: its position, its id as it came, and why."""

    position: int
    span_id: str
    reason: str


class Translation(NamedTuple):
    """What became of some spans. `ignored` counts those that tell of nothing that Rookery records."""

    told: list[Told]
    rejections: list[Rejection]
    ignored: int


class Translator:
    """Turns spans into events, and remembers which traces are runs, the latest `TRACES_MAX` of them.

    The events' source is the service that sent the span, unless it is given.
    """

    def __init__(self, *, source: str | None = None) -> None:
        self._source = source
        self._runs: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()

    def translate(self, spans: Sequence[Span], *, now: datetime) -> Translation:
        """The events of these spans. `now` is the present, which their times are held against."""
        readings = [reading_of(span.attributes) for span in spans]
        self._remember(spans, readings)
        told: list[Told] = []
        rejections: list[Rejection] = []
        ignored = 0
        for position, (span, reading) in enumerate(zip(spans, readings, strict=True)):
            is_run = not span.parent_id and self._is_run(span)
            if reading is None and not is_run:
                ignored += 1
            elif reason := _reason_against(span, now):
                rejections.append(Rejection(position, span.span_id, reason))
            else:
                source = self._source or source_of(span)
                told += [Told(event, position) for event in _events(span, reading, source, is_run=is_run)]
        return Translation(told, rejections, ignored)

    def _remember(self, spans: Sequence[Span], readings: Sequence[Reading | None]) -> None:
        with self._lock:
            for span, reading in zip(spans, readings, strict=True):
                if reading is not None and span.parent_id and _TRACE_ID.fullmatch(span.trace_id):
                    self._runs[span.trace_id] = None
                    self._runs.move_to_end(span.trace_id)
            while len(self._runs) > TRACES_MAX:
                self._runs.popitem(last=False)

    def _is_run(self, span: Span) -> bool:
        with self._lock:
            return span.trace_id in self._runs


def _reason_against(span: Span, now: datetime) -> str | None:
    if not _TRACE_ID.fullmatch(span.trace_id):
        return f"expected a trace id of 32 hex digits, not all zero, found {span.trace_id[:40]!r}"
    if not _SPAN_ID.fullmatch(span.span_id):
        return f"expected a span id of 16 hex digits, not all zero, found {span.span_id[:40]!r}"
    time_max_ns = int((now + AHEAD_MAX).timestamp()) * 10**9
    for what, moment_ns in (("start", span.start_ns), ("end", span.end_ns or span.start_ns)):
        if not TIME_MIN_NS <= moment_ns <= time_max_ns:
            return f"its {what}, {moment_ns} ns since 1970, lies before 2000 or more than a day ahead: set the clock"
    return None


def _events(span: Span, reading: Reading | None, source: str, *, is_run: bool) -> Iterator[Event]:
    kind = reading.kind if reading else None
    turns = turns_in(span) if kind == "model" else []
    tells_run = kind in ("agent", "workflow") or (not span.parent_id and (is_run or bool(turns)))
    run_id = span.trace_id if span.parent_id or tells_run else None
    tell = _Telling(span, run_id, source)
    if tells_run:
        yield tell.run_started(reading, turns)
    for turn in turns:
        yield tell.message(turn)
    if reading and kind == "model":
        yield tell(model_call(span, reading.operation, run_id), subject=f"{span.trace_id}-{span.span_id}")
    if kind == "tool":
        yield tell(tool_call(span, run_id), subject=f"{span.trace_id}-{span.span_id}")
    if kind == "create_agent" and (registered := registration(span)):
        yield tell(registered, subject=agent_invoked(span) or registered.name)
    if tells_run:
        yield tell.run_ended(reading, turns)


class _Telling:
    """Puts facts about one span into envelopes."""

    def __init__(self, span: Span, run_id: str | None, source: str) -> None:
        self._span = span
        self._run_id = run_id
        self._traceparent = f"00-{span.trace_id}-{span.span_id}-01"
        self._source = source
        self._own_run_id = f"{span.trace_id}-{span.span_id}" if span.parent_id else span.trace_id
        self._end_ns = span.end_ns or span.start_ns

    def __call__(self, fact: EventData, *, subject: str, part: str = "", at_ns: int = 0) -> Event:
        name = type_of(fact)
        return Event.of(
            fact,
            subject=subject,
            source=self._source,
            id=derived_id("otel", self._span.trace_id, self._span.span_id, name, part),
            time=time_at(at_ns or self._end_ns),
            correlationid=self._run_id,
            traceparent=self._traceparent,
        )

    def message(self, turn: Turn) -> Event:
        assert self._run_id is not None
        said = turn.message
        message = MessageRecorded(
            run_id=self._run_id,
            step=turn.step,
            role=said.role,
            agent_id=agent_of(self._span) if said.role == "assistant" else None,
            content=said.content,
            tool_call_id=said.tool_call_id,
        )
        subject = f"{self._span.trace_id}-{self._span.span_id}-{turn.step}"
        at_ns = self._end_ns if said.role == "assistant" else self._span.start_ns
        return self(message, subject=subject, part=str(turn.step), at_ns=at_ns)

    def run_started(self, reading: Reading | None, turns: list[Turn]) -> Event:
        span = self._span
        labels = {
            "name": as_name(span.name),
            "service": service_of(span),
            "conversation_id": as_name(text_in(span.attributes, CONVERSATION)),
        }
        started = RunStarted(
            agent_id=_agent_of_run(span, reading),
            task=_last_said(span, "user", turns, TASK),
            parent_run_id=span.trace_id if span.parent_id else None,
            metadata={name: value for name, value in labels.items() if value} or None,
        )
        return self(started, subject=self._own_run_id, at_ns=span.start_ns)

    def run_ended(self, reading: Reading | None, turns: list[Turn]) -> Event:
        span = self._span
        agent_id, error = _agent_of_run(span, reading), error_of(span)
        ended: EventData
        if error is None:
            output = _last_said(span, "assistant", turns, RESULT)
            ended = RunCompleted(agent_id=agent_id, duration_seconds=span.duration_seconds, output=output)
        else:
            ended = RunFailed(agent_id=agent_id, error=error, duration_seconds=span.duration_seconds)
        return self(ended, subject=self._own_run_id)


def _last_said(span: Span, role: Role, turns: list[Turn], names: tuple[str, ...]) -> str | None:
    """What a run was asked or answered: by its messages, which say it in words, or else as its span has it."""
    in_call = [turn.message.content for turn in turns if turn.message.role == role and turn.message.content]
    return in_call[-1] if in_call else last_text(span.attributes, role) or text_in(span.attributes, names)


def _agent_of_run(span: Span, reading: Reading | None) -> str | None:
    return agent_invoked(span) if reading and reading.kind == "agent" else agent_of(span)
