"""Transports: handing a task to an agent over NATS, REST, RPC, MCP or a folder, behind one `invoke`."""

from .bridge import Bridge, registration
from .calls import ANSWER_BYTES_MAX, Call, Endpoint, Transport, TransportName, endpoint_of
from .errors import (
    AgentFailed,
    BadAnswer,
    InvalidEndpoint,
    Lost,
    NotInstalled,
    Refused,
    TimedOut,
    TooManyOpen,
    TransportError,
    Unreachable,
)
from .invoking import Transports

__all__ = [
    "ANSWER_BYTES_MAX",
    "AgentFailed",
    "BadAnswer",
    "Bridge",
    "Call",
    "Endpoint",
    "InvalidEndpoint",
    "Lost",
    "NotInstalled",
    "Refused",
    "TimedOut",
    "TooManyOpen",
    "Transport",
    "TransportError",
    "TransportName",
    "Transports",
    "Unreachable",
    "endpoint_of",
    "registration",
]
