"""A2A's messages and tasks in the words of its two versions: what a message asks for, and how an assignment is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ...schemas.vocabulary import Name
from ..assignments import Standing, Status

Version = Literal["1.0", "0.3"]

PARTS_MAX = 100
# Under which of these names a message, or its request, says what is to be done.
SKILL_WORDS = ("skill", "skillId", "skill_id", "capability")

_STATES: dict[Status, str] = {
    "pending": "submitted",
    "running": "working",
    "completed": "completed",
    "failed": "failed",
    "timed_out": "failed",
    "cancelled": "canceled",
}


class Part(msgspec.Struct, frozen=True, rename="camel"):
    """One part of a message, of either version: whatever it brings is one of these."""

    kind: str | None = None
    text: str | None = None
    data: Any = msgspec.UNSET
    raw: str | None = None
    url: str | None = None
    file: dict[str, Any] | None = None
    filename: str | None = None
    media_type: str | None = None

    def content(self) -> Any:
        """What an agent is given of it."""
        if self.text is not None:
            return self.text
        if self.data is not msgspec.UNSET:
            return self.data
        if self.file is not None:
            return self.file
        given = {"url": self.url, "raw": self.raw, "filename": self.filename, "media_type": self.media_type}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def is_empty(self) -> bool:
        """Whether it brings nothing."""
        return self.content() == {} and self.data is msgspec.UNSET


class Message(msgspec.Struct, frozen=True, rename="camel"):
    """What a client says."""

    message_id: Name
    role: Literal["ROLE_USER", "user"]
    parts: Annotated[list[Part], Meta(min_length=1, max_length=PARTS_MAX)]
    context_id: Name | None = None
    task_id: Name | None = None
    metadata: dict[str, Any] | None = None

    @property
    def input(self) -> Any:
        """What the agent is to work on: the one part, or all of them."""
        contents = [part.content() for part in self.parts]
        return contents[0] if len(contents) == 1 else contents


class Configuration(msgspec.Struct, frozen=True, rename="camel"):
    """How a client wants to be answered: when the work is over, unless it says otherwise."""

    return_immediately: bool = False
    blocking: bool = True


class Send(msgspec.Struct, frozen=True):
    """The parameters of `SendMessage`."""

    message: Message
    configuration: Configuration = Configuration()
    metadata: dict[str, Any] | None = None

    @property
    def waits(self) -> bool:
        """Whether the answer is to come when the work is over."""
        return self.configuration.blocking and not self.configuration.return_immediately

    @property
    def skill(self) -> Any:
        """What is to be done, if it says so."""
        told = {**(self.metadata or {}), **(self.message.metadata or {})}
        return next((told[word] for word in SKILL_WORDS if told.get(word) is not None), None)


class OfTask(msgspec.Struct, frozen=True):
    """The parameters of what asks about a task, or to call it off."""

    id: Name


def task(standing: Standing, context_id: str, version: Version) -> dict[str, Any]:
    """How an assignment stands, as a task."""
    told = {
        "id": standing.assignment_id,
        "contextId": context_id,
        "status": _status(standing, context_id, version),
        "artifacts": list(_artifacts(standing, version)),
        "metadata": {
            name: value
            for name, value in (
                ("skill", standing.capability),
                ("agentId", standing.agent_id),
                ("runId", standing.run_id),
            )
            if value is not None
        },
    }
    return told if version == "1.0" else {"kind": "task", **told}


def _status(standing: Standing, context_id: str, version: Version) -> dict[str, Any]:
    state = _STATES[standing.status]
    at = standing.ended_at or standing.started_at or standing.created_at
    told: dict[str, Any] = {"state": f"TASK_STATE_{state.upper()}" if version == "1.0" else state}
    if at is not None:
        told["timestamp"] = _time(at)
    why = standing.error or ("it was not done in its time" if standing.status == "timed_out" else None)
    if why is not None:
        said = {
            "messageId": f"{standing.assignment_id}-{standing.status}"[:256],
            "role": "ROLE_AGENT" if version == "1.0" else "agent",
            "parts": [_part(why, version)],
            "taskId": standing.assignment_id,
            "contextId": context_id,
        }
        told["message"] = said if version == "1.0" else {"kind": "message", **said}
    return told


def _artifacts(standing: Standing, version: Version) -> Iterator[dict[str, Any]]:
    if standing.status == "completed" and standing.result is not None:
        yield {"artifactId": "result", "name": "result", "parts": [_part(standing.result, version)]}


def _part(content: Any, version: Version) -> dict[str, Any]:
    if isinstance(content, str):
        return {"text": content} if version == "1.0" else {"kind": "text", "text": content}
    if version == "1.0":
        return {"data": content, "mediaType": "application/json"}
    return {"kind": "data", "data": content if isinstance(content, dict) else {"result": content}}


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
