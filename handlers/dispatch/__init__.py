"""Dispatch: who is to have which work, and what becomes of work that its agent has left behind."""

from .board import AGAIN_SECONDS, GRACE_SECONDS, Board, Due, Open
from .candidates import Alive, Candidates
from .choosing import ASSIGNMENTS_MAX, Candidate, Choice, Score, Skilled, best, score_of
from .dispatcher import Dispatcher
from .distributing import Planned, Room, plan
from .errors import AgentNotAlive, DispatchError, Incapable, NobodyCan
from .giving import Given, Giver, Wish
from .pool import POOL, CommandUnusable, commands_in, pool_of, serve_pool

__all__ = [
    "AGAIN_SECONDS",
    "ASSIGNMENTS_MAX",
    "GRACE_SECONDS",
    "POOL",
    "AgentNotAlive",
    "Alive",
    "Board",
    "Candidate",
    "Candidates",
    "Choice",
    "CommandUnusable",
    "DispatchError",
    "Dispatcher",
    "Due",
    "Given",
    "Giver",
    "Incapable",
    "NobodyCan",
    "Open",
    "Planned",
    "Room",
    "Score",
    "Skilled",
    "Wish",
    "best",
    "commands_in",
    "plan",
    "pool_of",
    "score_of",
    "serve_pool",
]
