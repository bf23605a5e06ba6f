"""NATS subjects, each part escaped into one token: `evt.<entity>.<id>.<fact>.<publisher>`, and those of work."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from .envelope import Event

EVENTS = "evt.>"
WORK = "work.>"

_NEEDS_NO_ESCAPING = re.compile(r"[A-Za-z0-9_~-]*").fullmatch


def subject_of(event: Event) -> str:
    """Where `event` is published, e.g. `evt.assignment.as-42.completed.coder-7`.

    The version of the shape stays out: who listens for `completed` goes on hearing it when the shape evolves.
    """
    entity, fact = event.type.split(".")[:2]
    return f"evt.{entity}.{escape(event.subject)}.{fact}.{escape(event.publisher)}"


def entity_filter(entity: str, id: str) -> str:
    """The filter for one entity's whole history, e.g. `evt.assignment.as-42.>`."""
    return f"evt.{entity}.{escape(id)}.>"


def fact_filter(entity: str, id: str, fact: str) -> str:
    """The filter for one fact about one entity, whoever tells it, e.g. `evt.assignment.as-42.cancelled.*`."""
    return f"evt.{entity}.{escape(id)}.{fact}.*"


def work_subject(capability: str, agent_id: str | None = None) -> str:
    """Where work waits: for whoever has the capability, or, under its name, for one agent whatever the capability."""
    return f"work.any.{escape(capability)}" if agent_id is None else f"work.agent.{escape(agent_id)}"


def publisher_in(subject: str) -> str:
    """Who a subject says is publishing: its last token."""
    return unescape(subject.rpartition(".")[2])


def escape(id: str) -> str:
    """An id as one NATS token: percent-encoded, dots included, so that nothing in it can be a wildcard."""
    return id if _NEEDS_NO_ESCAPING(id) else quote(id, safe="").replace(".", "%2E")


def unescape(token: str) -> str:
    """The id that `escape` made the token from."""
    return unquote(token)
