"""What can go wrong when work is given out.

RookeryError
└── DispatchError
    ├── NobodyCan         no agent that is alive has the capability, and the node doesn't offer it (kind)
    ├── AgentNotAlive     the agent that is named is dead, or has left (agent_id, state)
    └── Incapable         the agent that is named hasn't the capability (agent_id, kind, known); an InvalidInput as well
"""

from __future__ import annotations

from collections.abc import Iterable

from ...schemas import InvalidInput, RookeryError


class DispatchError(RookeryError):
    """The root of what goes wrong when work is given out. Nothing was given, and nothing recorded."""


class NobodyCan(DispatchError):
    """There is nobody to choose from."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(
            f"no agent that is alive has the capability {kind!r}, and this node does not offer it (`local_work`): "
            "start one that has, or give the work without choosing, so that it waits for one"
        )


class AgentNotAlive(DispatchError):
    """Who is dead, or has left, is given nothing."""

    def __init__(self, agent_id: str, state: str) -> None:
        self.agent_id = agent_id
        self.state = state
        super().__init__(f"agent {agent_id!r} is {state}, and is given nothing: name another, or let one be chosen")


class Incapable(DispatchError, InvalidInput):
    """The agent would have to refuse it."""

    def __init__(self, agent_id: str, kind: str, known: Iterable[str]) -> None:
        self.agent_id = agent_id
        self.kind = kind
        self.known = sorted(known)
        super().__init__(f"agent {agent_id!r} has no capability {kind!r} (it has: {', '.join(self.known) or 'none'})")
