"""The bus in one AsyncAPI 3.0 document: what may be said where, and in which words."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

import msgspec

from .json_schema import Schema, file_name
from .registry import EventType, all_types, is_superseded

WORK_TYPE = "assignment.created"

_DESCRIPTION = (
    "An agent in any language takes part with a NATS client: it publishes events, and takes work. Each token in an "
    "address is percent-encoded where it has other characters than letters, digits, `_`, `~` and `-`, dots included. "
    "Publish with JetStream and await its answer, with the event's id as `Nats-Msg-Id`: then doing it again after a "
    "failure is harmless. What is told once more, on `replay.>`, is the event as it was, with `replayaddress` and "
    "others in front, which say where it comes from; it is no new fact, and not taken for one."
)
_ID = {"description": "The id of the thing that the event is about: its `subject`."}
_PUBLISHER = {"description": "Who publishes it: the last segment of its `source`."}


def asyncapi(version: str) -> Schema:
    """The document for Rookery `version`. It refers to the types' schemas as files beside it."""
    channels = {name: _channel(name, types) for name, types in _by_fact().items()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Rookery",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "node": {"host": "127.0.0.1:4222", "protocol": "nats", "description": "A node's bus: NATS with JetStream."}
        },
        "channels": channels | _WORK_CHANNELS,
        "operations": {f"say.{name}": _operation("send", name) for name in channels} | _WORK_OPERATIONS,
        "components": {"messages": {known.name: _message(known) for known in all_types()}},
    }


def as_yaml(document: Schema) -> str:
    """The document in YAML, laid out as people write it."""
    return "\n".join(_block(document)) + "\n"


def _by_fact() -> dict[str, list[EventType]]:
    """The types by what they say happened: a fact is heard in one place, whichever version of its shape it has."""
    return {fact: list(types) for fact, types in groupby(all_types(), key=lambda known: _fact(known.name))}


def _fact(name: str) -> str:
    entity, fact = name.split(".")[:2]
    return f"{entity}.{fact}"


def _channel(name: str, types: list[EventType]) -> Schema:
    entity, fact = name.split(".")
    return {
        "address": f"evt.{entity}.{{id}}.{fact}.{{publisher}}",
        "description": (types[-1].struct.__doc__ or "").partition("\n")[0],
        "parameters": {"id": _ID, "publisher": _PUBLISHER},
        "messages": {known.name: _reference("components", "messages", known.name) for known in types},
    }


def _message(known: EventType) -> Schema:
    return {
        "name": known.name,
        "summary": (known.struct.__doc__ or "").partition("\n")[0],
        "contentType": "application/cloudevents+json",
        "headers": _HEADERS,
        "correlationId": {"location": "$message.payload#/correlationid"},
        "payload": {"$ref": f"./{file_name(known.name)}"},
    } | ({"deprecated": True} if is_superseded(known.name) else {})


def _operation(action: str, channel: str) -> Schema:
    return {"action": action, "channel": _reference("channels", channel)}


def _reference(*path: str) -> Schema:
    return {"$ref": "#/" + "/".join(path)}


_HEADERS: Schema = {
    "type": "object",
    "required": ["Nats-Msg-Id"],
    "properties": {"Nats-Msg-Id": {"type": "string", "description": "The event's id."}},
}
_WORK_MESSAGES = {WORK_TYPE: _reference("components", "messages", WORK_TYPE)}
_WORK_CHANNELS: Schema = {
    "work.any": {
        "address": "work.any.{capability}",
        "description": "Work for whoever has the capability. Each assignment is taken by one agent at a time, from the "
        "JetStream work queue `WORK`, and acknowledged when its end has been published.",
        "parameters": {"capability": {"description": "What it takes, as in `code.review`, written `code%2Ereview`."}},
        "messages": _WORK_MESSAGES,
    },
    "work.agent": {
        "address": "work.agent.{agent}",
        "description": "Work for one agent, whatever the capability, from the same queue.",
        "parameters": {"agent": {"description": "The agent's id."}},
        "messages": _WORK_MESSAGES,
    },
}
_WORK_OPERATIONS: Schema = {
    f"{verb}.{name}": _operation(action, name)
    for verb, action in (("give", "send"), ("take", "receive"))
    for name in _WORK_CHANNELS
}


# Older readers take some words for true and false.
_IS_PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[$a-z][a-z0-9_.-]*", re.IGNORECASE).fullmatch


def _block(value: Any, indent: str = "") -> list[str]:
    """A mapping or a list as lines of YAML; strings are quoted as in JSON, which YAML reads."""
    if isinstance(value, dict):
        pairs = [(f"{indent}{_key(key)}:", part) for key, part in value.items()]
    else:
        pairs = [(f"{indent}-", part) for part in value]
    lines = []
    for head, part in pairs:
        if isinstance(part, dict | list) and part:
            lines += [head, *_block(part, indent + "  ")]
        else:
            lines.append(f"{head} {_scalar(part)}")
    return lines


def _key(name: str) -> str:
    return name if _IS_PLAIN(name) else _scalar(name)


def _scalar(value: Any) -> str:
    return msgspec.json.encode(value).decode()
