"""The fleet: which agents there are, whether they are alive, and who of them may commit what."""

from .errors import AgentGone, DuplicateName, Fenced, FleetError, UnknownAgent
from .registry import (
    AGENTS,
    AgentRecord,
    Declare,
    Evict,
    Expire,
    Register,
    Revive,
    Suspect,
    Unregister,
    Update,
    refuse_fenced,
)

__all__ = [
    "AGENTS",
    "AgentGone",
    "AgentRecord",
    "Declare",
    "DuplicateName",
    "Evict",
    "Expire",
    "Fenced",
    "FleetError",
    "Register",
    "Revive",
    "Suspect",
    "UnknownAgent",
    "Unregister",
    "Update",
    "refuse_fenced",
]
