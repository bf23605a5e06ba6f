"""Who a span speaks of: the agent that it names, or else the service that sent it."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from .conventions import AGENT, AGENT_NAME, SERVICE
from .spans import Span
from .values import as_name, name_in

UNKNOWN_SERVICE = "unknown_service"  # what SDKs say where nobody named the service
SERVICE_CHARS_MAX = 40  # each of which may take twelve in a URL, and a source has 512
VERBS = ("invoke_agent ", "create_agent ")


def agent_of(span: Span) -> str | None:
    """The agent that the span names, or else the service."""
    return name_in(span.attributes, AGENT) or service_of(span)


def agent_invoked(span: Span) -> str | None:
    """The agent that an agent's own span is about: one that doesn't say is called what its span is called."""
    return name_in(span.attributes, AGENT) or _spoken_of(span) or service_of(span)


def agent_name(span: Span) -> str | None:
    """What people call the agent."""
    return name_in(span.attributes, AGENT_NAME) or _spoken_of(span)


def service_of(span: Span) -> str | None:
    """The service that sent the span, if somebody named it."""
    service = name_in(span.resource, SERVICE)
    return None if service is None or service.startswith(UNKNOWN_SERVICE) else service


def source_of(span: Span) -> str:
    """The source of the span's events, as in `/otel/checkout`."""
    return _source(service_of(span) or UNKNOWN_SERVICE)


@lru_cache(maxsize=1_000)
def _source(service: str) -> str:
    return "/otel/" + quote(service[:SERVICE_CHARS_MAX], safe="-._~:@", errors="replace")


def _spoken_of(span: Span) -> str | None:
    name = span.name
    for verb in VERBS:
        name = name.removeprefix(verb)
    return as_name(name)
