"""How good each agent is at each skill, with how sure one can be of it, told from the outcomes of its work."""

from .gaps import Gap, GapKind, gaps_of_agents, gaps_of_colony
from .rating import Lookup, Rating
from .ratings import Outcome, Prior, Ratings

__all__ = [
    "Gap",
    "GapKind",
    "Lookup",
    "Outcome",
    "Prior",
    "Rating",
    "Ratings",
    "gaps_of_agents",
    "gaps_of_colony",
]
