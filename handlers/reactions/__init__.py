"""Contexts and reactions: how commands become events, and how events are answered."""

from .contexts import Command, CommandData, Context, Happened
from .deciding import Decided, Decider, Earlier
from .errors import Contended, InvalidCommand, NotParked, ReactionError
from .lives import LIVES, Discard, Redrive, reaction_id
from .place import Held
from .runner import Runner
from .scenario import given
from .table import Answer, Ask, Cause, React, Reactions, Tell

__all__ = [
    "LIVES",
    "Answer",
    "Ask",
    "Cause",
    "Command",
    "CommandData",
    "Contended",
    "Context",
    "Decided",
    "Decider",
    "Discard",
    "Earlier",
    "Happened",
    "Held",
    "InvalidCommand",
    "NotParked",
    "React",
    "ReactionError",
    "Reactions",
    "Redrive",
    "Runner",
    "Tell",
    "given",
    "reaction_id",
]
