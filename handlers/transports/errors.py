"""What can go wrong when an agent is invoked.

RookeryError
├── InvalidInput
│   └── InvalidEndpoint       an endpoint that can't be one (transport, address, reason)
└── TransportError            invoking an agent gave no result (endpoint, reason)
    ├── Unreachable           nobody is there: it was not begun
    ├── TimedOut              no answer in time: whether it was done is unknown (timeout_seconds)
    ├── Lost                  it went away in the midst: whether it was done is unknown
    ├── Refused               it won't do this, and trying again won't help
    ├── AgentFailed           it tried, and says that it failed
    ├── BadAnswer             it answered, and that is no answer
    ├── TooManyOpen           as many agents as may are being invoked already
    └── NotInstalled          what the transport needs is not installed here
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...schemas import InvalidInput, RookeryError

if TYPE_CHECKING:
    from .calls import Endpoint


class InvalidEndpoint(InvalidInput):
    """Where an agent is said to be reached is no place that its transport can reach."""

    def __init__(self, transport: str, address: str, reason: str) -> None:
        self.transport = transport
        self.address = address
        self.reason = reason
        super().__init__(f"{address[:200]!r} is no endpoint for transport {transport!r}: {reason}")


class TransportError(RookeryError):
    """Invoking an agent gave no result. `outcome` is the word that it is counted under."""

    outcome = "failed"

    def __init__(self, endpoint: Endpoint, reason: str) -> None:
        self.endpoint = endpoint
        self.reason = reason
        super().__init__(f"{endpoint} {reason}")

    @property
    def is_final(self) -> bool:
        """Whether trying again can't help."""
        return False


class Unreachable(TransportError):
    """Nobody is there. The task was not begun."""

    outcome = "unreachable"


class TimedOut(TransportError):
    """No answer came in time. Whether the task was done is unknown: it has the same id when it is tried again."""

    outcome = "timed_out"

    def __init__(self, endpoint: Endpoint, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        super().__init__(endpoint, f"did not answer within {timeout_seconds:g} s; it may or may not have been done")


class Lost(TransportError):
    """The agent, or the way to it, went away while it was at work. Whether the task was done is unknown."""

    outcome = "lost"


class Refused(TransportError):
    """The agent won't do this task, and would not the next time."""

    outcome = "refused"

    @property
    def is_final(self) -> bool:
        """It said so."""
        return True


class AgentFailed(TransportError):
    """The agent tried, and says that it failed."""

    outcome = "failed"


class BadAnswer(TransportError):
    """The agent answered with something that is no answer: too large, no JSON, or not what the transport agreed on."""

    outcome = "bad_answer"


class TooManyOpen(TransportError):
    """As many agents are being invoked at once as may be."""

    outcome = "too_many"


class NotInstalled(TransportError):
    """What the transport needs is not installed here."""

    outcome = "not_installed"

    @property
    def is_final(self) -> bool:
        """Not before somebody installs it."""
        return True
