"""What can go wrong around an agent and its tasks.

RookeryError
├── InvalidInput
│   ├── InvalidAgent              an agent is declared in a way that can't be (reason)
│   │   └── UnknownCapability     a capability that the agent doesn't have (capability, known)
│   └── ResultRefused             what a handler returned can't travel (capability, reason)
└── AgentError
    ├── GiveUp                    a handler says that trying again won't help (reason)
    ├── NameTaken                 another process serves as this agent already (agent_id, by)
    ├── HandlersStuck             every thread is held by a handler that doesn't return (agent_id, threads)
    ├── TaskOver                  something was to be recorded of a task that has ended (task_id)
    ├── TaskFailed                a task that was given to others failed (assignment_id, reason)
    └── NoResult                  it was not done in the time that was waited (assignment_id, timeout_seconds)
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from ...schemas import InvalidInput, RookeryError


class InvalidAgent(InvalidInput):
    """An agent is declared in a way that can't be."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class UnknownCapability(InvalidAgent):
    """A capability that the agent doesn't have."""

    def __init__(self, agent_id: str, capability: str, known: Iterable[str]) -> None:
        self.capability = capability
        self.known = sorted(known)
        nearest = get_close_matches(capability, self.known, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        can = ", ".join(self.known) or "none"
        super().__init__(f"agent {agent_id!r} has no capability {capability!r}{hint} (it has: {can})")


class ResultRefused(InvalidInput):
    """What a handler returned can't travel as an event."""

    def __init__(self, capability: str, reason: str) -> None:
        self.capability = capability
        self.reason = reason
        super().__init__(f"the result of {capability} {reason}")


class AgentError(RookeryError):
    """Something went wrong around an agent or its tasks."""


class GiveUp(AgentError):
    """Raised by a handler: the task has failed, and trying again won't help."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class NameTaken(AgentError):
    """Another process serves as this agent: two of one name would be one agent that contradicts itself."""

    def __init__(self, agent_id: str, by: str) -> None:
        self.agent_id = agent_id
        self.by = by
        super().__init__(
            f"agent {agent_id!r} is at work already ({by}): stop that one, or give this one a name of its own; "
            "agents of different names share the tasks of a capability"
        )


class HandlersStuck(AgentError):
    """Every thread is held by a handler that went on past its time; only another process can go on."""

    def __init__(self, agent_id: str, threads: int) -> None:
        self.agent_id = agent_id
        self.threads = threads
        super().__init__(
            f"all {threads} threads of agent {agent_id!r} are held by handlers that went on past their time: start it "
            "again, and let the handlers give their own calls a timeout"
        )


class TaskOver(AgentError):
    """Something was to be recorded of a task that has ended, or whose time is up."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(f"task {task_id} is over: nothing more is recorded of it")


class TaskFailed(AgentError):
    """A task that was given to others failed, timed out or was called off."""

    def __init__(self, assignment_id: str, reason: str) -> None:
        self.assignment_id = assignment_id
        self.reason = reason
        super().__init__(f"task {assignment_id} failed: {reason}")


class NoResult(AgentError):
    """Nobody has done the task yet. It stays given: whoever takes it up later still does it."""

    def __init__(self, assignment_id: str, timeout_seconds: float) -> None:
        self.assignment_id = assignment_id
        self.timeout_seconds = timeout_seconds
        super().__init__(
            f"task {assignment_id} was not done within {timeout_seconds:g} s; is an agent with the capability running?"
        )
