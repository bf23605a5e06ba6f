"""What can go wrong around assignments.

RookeryError
└── AssignmentError
    ├── UnknownAssignment     no assignment has this id (assignment_id)
    ├── AssignmentOver        it has ended already, and its first end counts (assignment_id, status, agent_id)
    ├── NotToRetry            it is not over, or it is done: there is nothing to try again (assignment_id, status)
    └── NotTheHolder          it is another's, or nobody's, to begin or to end (assignment_id, agent_id, holder)
"""

from __future__ import annotations

from ...schemas import RookeryError


class AssignmentError(RookeryError):
    """The root of what is refused about assignments."""


class UnknownAssignment(AssignmentError):
    """No assignment has this id."""

    def __init__(self, assignment_id: str) -> None:
        self.assignment_id = assignment_id
        super().__init__(f"no assignment is called {assignment_id!r}")


class AssignmentOver(AssignmentError):
    """It has ended already: its first end counts, and nothing changes it. What it cost stays recorded all the same."""

    def __init__(self, assignment_id: str, status: str, agent_id: str | None) -> None:
        self.assignment_id = assignment_id
        self.status = status
        self.agent_id = agent_id
        by = f", by {agent_id}" if agent_id and status != "cancelled" else ""
        super().__init__(f"assignment {assignment_id} is over ({status.replace('_', ' ')}{by}): its first end counts")


class NotTheHolder(AssignmentError):
    """Whoever says so does not hold the assignment: it was released from its hands, or was never in them."""

    def __init__(self, assignment_id: str, agent_id: str, holder: str | None) -> None:
        self.assignment_id = assignment_id
        self.agent_id = agent_id
        self.holder = holder
        whose = f"is held by {holder}" if holder else "is held by nobody"
        super().__init__(
            f"assignment {assignment_id} {whose}, and not, in this attempt, by {agent_id}: only who holds it can end "
            "it; whoever is handed it begins it first"
        )


class NotToRetry(AssignmentError):
    """What is not over, or is done, is not given once more."""

    def __init__(self, assignment_id: str, status: str) -> None:
        self.assignment_id = assignment_id
        self.status = status
        super().__init__(
            f"assignment {assignment_id} is {status}: what failed, timed out or was called off can be tried once more"
        )
