"""What can go wrong with commands and reactions.

RookeryError
└── ReactionError
    ├── Contended           others changed the entity again and again while it was decided (entity, attempts)
    ├── NotParked           the reaction is not parked, so that there is nothing to re-drive (reaction_id)
    └── InvalidCommand      no command of the context, or not as it should be (reason, field); an InvalidInput as well
"""

from __future__ import annotations

from ...bus import Entity
from ...schemas import InvalidInput, RookeryError


class ReactionError(RookeryError):
    """The root of what commands and reactions raise."""


class Contended(ReactionError):
    """The entity moved on each time before the decision about it could be appended. Nothing was."""

    def __init__(self, entity: Entity, attempts: int) -> None:
        self.entity = entity
        self.attempts = attempts
        super().__init__(f"{entity} was changed by others {attempts} times while this was decided; try again later")


class NotParked(ReactionError, InvalidInput):
    """The reaction is not parked: it was never, or it was done, re-driven or discarded meanwhile."""

    def __init__(self, reaction_id: str, status: str) -> None:
        self.reaction_id = reaction_id
        self.status = status
        super().__init__(f"reaction {reaction_id} is not parked but {status}; `rookery dead-letters` lists what is")


class InvalidCommand(ReactionError, InvalidInput):
    """What came as a command is none, or not as the context takes it."""

    def __init__(self, reason: str, field: str = "") -> None:
        self.reason = reason
        self.field = field
        super().__init__(f"{field}: {reason}" if field else reason)
