"""What an event says in RDF: a pure function of the event, whose every triple is in the named graph of that event.

Message texts, tokens and dollars stay in SQL. Of messages, tool calls and model calls the graph takes only who and what
a run had to do with; they are many and say the same things over and over, so `sighting` tells what one would add
before it is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from pyoxigraph import Literal, NamedNode, Quad

from ...eventstore import Record
from ...schemas import (
    AgentDeclared,
    AgentRegistered,
    AgentStateChanged,
    AgentUnregistered,
    AgentUpdated,
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentStarted,
    AssignmentTimedOut,
    Event,
    EventData,
    FeedbackGiven,
    InsightRecorded,
    InvalidEvent,
    LlmCallCompleted,
    LlmCallFailed,
    MessageRecorded,
    NodeStarted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunFailureAttributed,
    RunStarted,
    ToolCallCompleted,
    all_types,
    check,
    is_superseded,
    sealed_in,
)
from .lessons import digest, normalised
from .names import LABEL, TYPE, XSD, event_iri, prov, rk, thing

TEXT_CHARS_MAX = 2_000  # of a text that something says, what is in the graph; the whole of it is in the read models

Value = NamedNode | Literal | None
Triple = tuple[NamedNode, NamedNode, NamedNode | Literal]
Edge = tuple[NamedNode, NamedNode, NamedNode]

_DATE_TIME = NamedNode(f"{XSD}dateTime")


class Said(NamedTuple):
    """An event that is valid, at its place in the log."""

    event: Event
    origin: str
    n: int

    @property
    def subject(self) -> str:
        """The id of what it is about."""
        return self.event.subject

    @property
    def time(self) -> Literal:
        """When it happened."""
        return moment(self.event.time)

    def place(self, kind: str) -> NamedNode:
        """The IRI of something that the event brings into the world, and that has no id of its own."""
        return thing(kind, self.origin, str(self.n))


def facts(record: Record) -> list[Quad]:
    """Everything that one line of the log says, and what the event itself is; nothing for a line that is no event."""
    try:
        event, data = check(record.payload)
    except InvalidEvent:
        return []
    describe = MAPPINGS.get(type(data))
    if describe is None:
        return []
    graph = event_iri(record.origin, record.n)
    said = Said(event, record.origin, record.n)
    quads = [Quad(one, name, value, graph) for one, name, value in describe(said, data) if value is not None]
    return [*quads, *(Quad(*triple, graph) for triple in _event(graph, said))] if quads else []


def sighting(line: bytes) -> tuple[Edge, ...] | None:
    """What a line of the log can add, at a glance.

    None: nothing at all. `()`: only `facts` can tell. Otherwise `facts` gives these edges, or nothing, so that it need
    not be asked if they are known.
    """
    try:
        found = _line.decode(line)
        if found.type in _SIGHTED:
            return tuple(_edges(found.type, _used.decode(found.data))) or None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return () if found.type in _MAPPED else None


def moment(time: datetime) -> Literal:
    """A time in UTC."""
    return Literal(f"{time:%Y-%m-%dT%H:%M:%S.%f}Z", datatype=_DATE_TIME)


class _Line(msgspec.Struct):
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _Used(msgspec.Struct):
    run_id: str | None = None
    agent_id: str | None = None
    tool: str | None = None
    provider: str | None = None
    request_model: str | None = None


_line = msgspec.json.Decoder(_Line)
_used = msgspec.json.Decoder(_Used)


def _event(graph: NamedNode, said: Said) -> Iterator[Triple]:
    yield graph, TYPE, rk("Event")
    yield graph, prov("generatedAtTime"), said.time
    yield graph, prov("wasAttributedTo"), _teller(said.event.source)
    yield graph, rk("eventType"), Literal(".".join(said.event.type.split(".")[:2]))  # whatever version of its shape
    yield graph, rk("origin"), Literal(said.origin)
    yield graph, rk("n"), Literal(said.n)


def _teller(source: str) -> NamedNode:
    """Who published an event: an agent, a node, or whatever else its source names."""
    parts = source.split("/")
    if len(parts) == 3 and parts[:2] in (["", "agents"], ["", "nodes"]) and parts[2]:
        return thing(parts[1].removesuffix("s"), parts[2])
    return thing("source", source)


def _text(value: str | None) -> Value:
    """What something says; a sealed text whole or not at all, because nobody could read a part of it."""
    if value is None or (len(value) > TEXT_CHARS_MAX and sealed_in(value)):
        return None
    return Literal(value[:TEXT_CHARS_MAX])


def _number(value: float | bool | None) -> Value:
    return None if value is None else Literal(value)


def _named(kind: str, id: str | None) -> NamedNode | None:
    return None if id is None else thing(kind, id)


def _by_text(kind: str, text: str | None) -> NamedNode | None:
    """A thing that is known by its words alone; None if there are none, or they are sealed."""
    if sealed_in(text):
        return None
    words = normalised((text or "")[:TEXT_CHARS_MAX])
    return thing(kind, digest(words)) if words else None


Described = Iterator[tuple[NamedNode, NamedNode, Value]]


def _agent_registered(said: Said, data: AgentRegistered | AgentUpdated) -> Described:
    agent, registration = thing("agent", said.subject), said.place("registration")
    yield agent, TYPE, rk("Agent")
    yield agent, LABEL, _text(data.name)
    yield agent, rk("actsFor"), _named("agent", data.parent_agent_id)
    yield registration, TYPE, rk("Registration")
    yield registration, rk("registrationOf"), agent
    yield registration, rk("validFrom"), said.time
    yield registration, rk("role"), _text(data.role)
    yield registration, rk("tier"), _text(data.tier)
    yield registration, rk("version"), _text(data.version)
    for capability in data.capabilities:
        yield registration, rk("capability"), thing("skill", capability)


def _agent_declared(said: Said, data: AgentDeclared) -> Described:
    """That somebody is meant to be there is no registration, and says nothing of what they can do once they are."""
    agent = thing("agent", said.subject)
    yield agent, TYPE, rk("Agent")
    yield agent, LABEL, _text(data.name)
    yield agent, rk("actsFor"), _named("agent", data.parent_agent_id)


def _state(said: Said, state: str, reason: str | None) -> Described:
    node = said.place("state")
    yield node, TYPE, rk("AgentState")
    yield node, rk("stateOf"), thing("agent", said.subject)
    yield node, rk("state"), Literal(state)
    yield node, rk("reason"), _text(reason)
    yield node, rk("validFrom"), said.time


def _agent_state_changed(said: Said, data: AgentStateChanged) -> Described:
    return _state(said, data.state, data.reason)


def _agent_unregistered(said: Said, data: AgentUnregistered) -> Described:
    return _state(said, "unregistered", data.reason)


def _node_started(said: Said, data: NodeStarted) -> Described:
    node = thing("node", said.subject)
    yield node, TYPE, rk("Node")
    yield node, rk("version"), _text(data.version)


def _assignment_created(said: Said, data: AssignmentCreated) -> Described:
    assignment = thing("assignment", said.subject)
    yield assignment, TYPE, rk("Assignment")
    yield assignment, rk("kind"), _text(data.kind)
    yield assignment, rk("createdAt"), said.time
    yield assignment, rk("assignedTo"), _named("agent", data.agent_id)
    yield assignment, rk("needsSkill"), _named("skill", data.skill)


def _assignment_started(said: Said, data: AssignmentStarted) -> Described:
    assignment = thing("assignment", said.subject)
    yield assignment, prov("startedAtTime"), said.time
    yield assignment, rk("assignedTo"), thing("agent", data.agent_id)
    yield assignment, rk("carriedOutBy"), _named("run", data.run_id)


AssignmentEnd = AssignmentCompleted | AssignmentFailed | AssignmentTimedOut | AssignmentCancelled


def _assignment_ended(said: Said, data: AssignmentEnd) -> Described:
    assignment = thing("assignment", said.subject)
    yield assignment, prov("endedAtTime"), said.time
    yield assignment, rk("outcome"), Literal(said.event.type.split(".")[1])
    if not isinstance(data, AssignmentCancelled):
        yield assignment, rk("assignedTo"), _named("agent", data.agent_id)
        yield assignment, rk("needsSkill"), _named("skill", data.skill)
    if isinstance(data, AssignmentCompleted):
        yield assignment, rk("score"), _number(data.score)
    if isinstance(data, AssignmentFailed):
        yield from _error(assignment, data.error)


def _run_started(said: Said, data: RunStarted) -> Described:
    run = thing("run", said.subject)
    yield run, TYPE, rk("Run")
    yield run, prov("startedAtTime"), said.time
    yield run, rk("performedBy"), _named("agent", data.agent_id)
    yield run, rk("exercised"), _named("skill", data.skill)
    yield run, rk("parentRun"), _named("run", data.parent_run_id)
    yield run, rk("carriesOut"), _named("assignment", data.assignment_id)
    if data.clock != "wall":
        yield run, rk("clock"), Literal(data.clock)
    task = thing("task", data.task_id) if data.task_id else _by_text("task-text", data.task)
    if task is not None:
        yield run, rk("workedOn"), task
        yield task, LABEL, _text(data.task)


def _run_ended(said: Said, data: RunCompleted | RunFailed | RunCancelled) -> Described:
    run = thing("run", said.subject)
    yield run, TYPE, rk("Run")
    yield run, prov("endedAtTime"), said.time
    yield run, rk("outcome"), Literal(said.event.type.split(".")[1])
    if not isinstance(data, RunCancelled):
        yield run, rk("performedBy"), _named("agent", data.agent_id)
        yield run, rk("exercised"), _named("skill", data.skill)
        yield run, rk("reward"), _number(data.reward)
    if isinstance(data, RunCompleted):
        yield run, rk("success"), _number(data.success)
    if isinstance(data, RunFailed):
        yield from _error(run, data.error)


def _error(subject: NamedNode, text: str) -> Described:
    """What failed in the same words failed with the same error."""
    error = _by_text("error", text)
    if error is not None:
        yield subject, rk("failedWith"), error
        yield error, LABEL, _text(text)


def _lesson(subject: NamedNode, text: str) -> Described:
    if sealed_in(text):
        return  # its words are nobody's, and resemble no others
    words = normalised(text[:TEXT_CHARS_MAX])
    if words:
        lesson = thing("lesson", digest(words))
        yield subject, rk("says"), lesson
        yield lesson, rk("words"), Literal(words)


def _failure_attributed(said: Said, data: RunFailureAttributed) -> Described:
    failure = said.place("failure")
    yield failure, TYPE, rk("Failure")
    yield failure, rk("inRun"), thing("run", said.subject)
    yield failure, rk("madeBy"), thing("agent", data.agent_id)
    yield failure, rk("atStep"), _number(data.step)
    yield failure, rk("reason"), _text(data.reason)
    yield failure, rk("attributedBy"), _text(data.attributed_by)
    yield from _lesson(failure, data.reason)


def _insight_recorded(said: Said, data: InsightRecorded) -> Described:
    insight = thing("insight", said.subject)
    yield insight, TYPE, rk("Insight")
    yield insight, rk("kind"), _text(data.kind)
    yield insight, rk("text"), _text(data.text)
    yield insight, rk("confidence"), _number(data.confidence)
    yield insight, rk("fromRun"), _named("run", data.run_id)
    yield insight, rk("aboutAgent"), _named("agent", data.agent_id)
    yield insight, rk("aboutSkill"), _named("skill", data.skill)
    for tag in data.tags:
        yield insight, rk("tag"), _text(tag)
    yield from _lesson(insight, data.text)


def _feedback_given(said: Said, data: FeedbackGiven) -> Described:
    feedback = thing("feedback", said.subject)
    yield feedback, TYPE, rk("Feedback")
    yield feedback, rk("kind"), Literal(data.kind)
    yield feedback, rk("score"), _number(data.score)
    yield feedback, rk("judgesRun"), _named("run", data.run_id)
    yield feedback, rk("judgesAgent"), _named("agent", data.agent_id)
    yield feedback, rk("judgesSkill"), _named("skill", data.skill)
    yield feedback, rk("givenBy"), _text(data.given_by)


def _edges(type: str, used: _Used) -> Iterator[Edge]:
    """Who and what a run had to do with; nothing if no run is named."""
    if used.run_id is None:
        return
    run = thing("run", used.run_id)
    if used.agent_id is not None:
        yield run, rk("involved"), thing("agent", used.agent_id)
    if type == "tool_call.completed" and used.tool is not None:
        yield run, rk("usedTool"), thing("tool", used.tool)
    if type.startswith("llm_call.") and used.provider is not None and used.request_model is not None:
        yield run, rk("usedModel"), thing("model", used.provider, used.request_model)


Call = MessageRecorded | ToolCallCompleted | LlmCallCompleted | LlmCallFailed


def _call(said: Said, data: Call) -> Described:
    yield from _edges(said.event.type, msgspec.convert(data, _Used, from_attributes=True))


MAPPINGS: dict[type[EventData], Callable[[Said, Any], Described]] = {
    AgentDeclared: _agent_declared,
    AgentRegistered: _agent_registered,
    AgentUpdated: _agent_registered,
    AgentStateChanged: _agent_state_changed,
    AgentUnregistered: _agent_unregistered,
    AssignmentCancelled: _assignment_ended,
    AssignmentCompleted: _assignment_ended,
    AssignmentCreated: _assignment_created,
    AssignmentFailed: _assignment_ended,
    AssignmentStarted: _assignment_started,
    AssignmentTimedOut: _assignment_ended,
    FeedbackGiven: _feedback_given,
    InsightRecorded: _insight_recorded,
    LlmCallCompleted: _call,
    LlmCallFailed: _call,
    MessageRecorded: _call,
    NodeStarted: _node_started,
    RunCancelled: _run_ended,
    RunCompleted: _run_ended,
    RunFailed: _run_ended,
    RunFailureAttributed: _failure_attributed,
    RunStarted: _run_started,
    ToolCallCompleted: _call,
}
_MAPPED = {known.name for known in all_types() if known.struct in MAPPINGS or is_superseded(known.name)}
_SIGHTED = {known.name for known in all_types() if MAPPINGS.get(known.struct) is _call}
