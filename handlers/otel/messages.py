"""What was said in a model call, where the instrumentation recorded it.

Every call repeats the conversation so far. What is new in it is what comes after the model's last turn, and the answer;
a message's step is its place in the whole conversation. So calls that follow one another tell each message once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal, NamedTuple

import msgspec

from .spans import Attributes, Span
from .values import as_name, as_text

Role = Literal["system", "user", "assistant", "tool"]

MESSAGES_MAX = 1_000  # that one call adds
POSITIONS_MAX = 10_000  # that one conversation has
DETAILS_EVENT = "gen_ai.client.inference.operation.details"

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
# Flattened lists, as in `llm.input_messages.0.message.role`: what comes before and after the number.
FLATTENED = {
    "input": (("llm.input_messages.", ".message."), ("gen_ai.prompt.", ".")),
    "output": (("llm.output_messages.", ".message."), ("gen_ai.completion.", ".")),
}
_PART_TEXT = re.compile(r"contents\.(\d{1,4})\.message_content\.text")


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Role
    content: str | None
    tool_call_id: str | None


class Turn(NamedTuple):
    """A message that is new in a call, and its place in the conversation."""

    step: int
    message: Message


def turns_in(span: Span) -> list[Turn]:
    """The messages that are new in a model call; none where content was not recorded."""
    said = _recorded(span.attributes) or _recorded_in_events(span)
    if said is None:
        return []
    asked, answered = said
    known = max((place for place, one in enumerate(asked, 1) if one.role == "assistant"), default=0)
    everything = [*asked, *answered]
    new = (Turn(step, one) for step, one in enumerate(everything) if step >= known)
    return list(islice(new, MESSAGES_MAX))


def last_text(attributes: Attributes, role: Role) -> str | None:
    """What was last asked by the user, or answered by the assistant, where the conventions' own attributes say it."""
    name = "gen_ai.input.messages" if role == "user" else "gen_ai.output.messages"
    texts = [one.content for one in _messages(attributes.get(name), role) if one.role == role and one.content]
    return texts[-1] if texts else None


def _recorded(attributes: Attributes) -> tuple[list[Message], list[Message]] | None:
    instructions = attributes.get("gen_ai.system_instructions")
    asked = [
        *([Message("system", _content(_decoded(instructions)), None)] if instructions else []),
        *_messages(attributes.get("gen_ai.input.messages"), "user"),
    ]
    answered = _messages(attributes.get("gen_ai.output.messages"), "assistant")
    asked = asked or _flattened(attributes, "input", "user")
    answered = answered or _flattened(attributes, "output", "assistant")
    return (asked, answered) if asked or answered else None


def _recorded_in_events(span: Span) -> tuple[list[Message], list[Message]] | None:
    """Content in span events: all of it in one, or, as it used to be, one message an event."""
    asked: list[Message] = []
    answered: list[Message] = []
    for event in span.events:
        if event.name == DETAILS_EVENT:
            return _recorded(event.attributes)
        role = event.name.removeprefix("gen_ai.").removesuffix(".message")
        if event.name == "gen_ai.choice":
            answered.append(_message(_decoded(event.attributes.get("message")) or event.attributes, "assistant"))
        elif event.name.startswith("gen_ai.") and role in ROLES:
            asked.append(_message(event.attributes, ROLES[role]))
    return (asked, answered) if asked or answered else None


def _messages(value: Any, role: Role) -> list[Message]:
    found = _decoded(value)
    return [_message(one, role) for one in found[:POSITIONS_MAX]] if isinstance(found, list) else []


def _message(given: Any, role: Role) -> Message:
    """A message in any of the shapes that are in use; `role` is what it is unless it says otherwise."""
    if not isinstance(given, dict):
        return Message(role, as_text(given), None)
    parts = given["parts"] if "parts" in given else given.get("content")
    call_id = as_name(given.get("tool_call_id") or given.get("id")) or _answered_call(parts)
    said = ROLES.get(str(given.get("role", role)).lower(), role)
    return Message(said, _content(parts), call_id if said == "tool" else None)


def _answered_call(parts: Any) -> str | None:
    ids = (as_name(part.get("id")) for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ()
    return next((one for one in ids if one), None)


def _content(parts: Any) -> str | None:
    """The texts among a message's parts; all of the parts, as JSON, where there is no text."""
    if not isinstance(parts, list):
        return as_text(parts)
    texts = [text for part in parts if (text := _text_of(part))]
    return as_text("\n".join(texts)) if texts else as_text(parts or None)


def _text_of(part: Any) -> str | None:
    if not isinstance(part, dict):
        return as_text(part)
    return as_text(next((part[name] for name in ("content", "text", "response", "result") if part.get(name)), None))


def _flattened(attributes: Attributes, direction: str, role: Role) -> list[Message]:
    for before, after in FLATTENED[direction]:
        if messages := _gathered(attributes, before, after):
            return [_message(messages[place], role) for place in sorted(messages)]
    return []


def _gathered(attributes: Attributes, before: str, after: str) -> dict[int, dict[str, Any]]:
    messages: dict[int, dict[str, Any]] = {}
    texts: dict[int, dict[int, Any]] = {}
    for place, field, value in _fields(attributes, before, after):
        message = messages.setdefault(place, {})
        if part := _PART_TEXT.fullmatch(field):
            texts.setdefault(place, {})[int(part[1])] = value
        else:
            message[field] = value
    for place, parts in texts.items():
        messages[place].setdefault("content", [parts[number] for number in sorted(parts)])
    return messages


def _fields(attributes: Attributes, before: str, after: str) -> Iterator[tuple[int, str, Any]]:
    for name, value in attributes.items():
        if name.startswith(before):
            place, found, field = name.removeprefix(before).partition(after)
            if found and place.isdecimal() and int(place[:6]) < POSITIONS_MAX:
                yield int(place[:6]), field, value


def _decoded(value: Any) -> Any:
    """What a string of JSON holds; anything else as it is."""
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError):
        return value
