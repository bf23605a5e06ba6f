"""What can go wrong around the agents of a colony.

RookeryError
└── FleetError
    ├── UnknownAgent        nobody of this id ever registered (agent_id)
    ├── DuplicateName       an agent of this id is there already (agent_id, state)
    ├── AgentGone           it was evicted, or has unregistered (agent_id, state)
    └── Fenced              it was declared dead, or lives anew elsewhere (agent_id, incarnation, reason)
"""

from __future__ import annotations

from ...schemas import RookeryError


class FleetError(RookeryError):
    """The root of what goes wrong around agents."""


class UnknownAgent(FleetError):
    """Nobody of this id ever registered."""

    def __init__(self, agent_id: str) -> None:
        self.agent_id = agent_id
        super().__init__(f"no agent is called {agent_id!r}")


class DuplicateName(FleetError):
    """An agent of this id is there already: two of one name would be one agent that contradicts itself."""

    def __init__(self, agent_id: str, state: str) -> None:
        self.agent_id = agent_id
        self.state = state
        super().__init__(
            f"an agent {agent_id!r} is registered and {state}: choose another name, or say that this one takes its "
            "place (`again`); what the other one does is refused from then on"
        )


class AgentGone(FleetError):
    """The agent was evicted, or has unregistered: there is nothing to change about it."""

    def __init__(self, agent_id: str, state: str) -> None:
        self.agent_id = agent_id
        self.state = state
        super().__init__(f"agent {agent_id!r} is {state}: register it again")


class Fenced(FleetError):
    """What the agent wanted to commit is refused: it was declared dead meanwhile, or registered anew elsewhere."""

    def __init__(self, agent_id: str, incarnation: int | None, reason: str) -> None:
        self.agent_id = agent_id
        self.incarnation = incarnation
        self.reason = reason
        life = f" (incarnation {incarnation})" if incarnation else ""
        super().__init__(f"agent {agent_id!r}{life} can commit nothing: {reason}; it has to register anew")
