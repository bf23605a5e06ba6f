"""A2A: how agents introduce themselves to clients of that protocol, and what is believed of how others do."""

from .cards import LIVENESS, AgentCard, AgentInterface, Liveness, card_in, card_of, encode_card
from .errors import CardRefused, CardUnreachable, InvalidCard
from .fetching import WELL_KNOWN, Fetched, answering, fetch_card
from .places import place_of, refuse_elsewhere

__all__ = [
    "LIVENESS",
    "WELL_KNOWN",
    "AgentCard",
    "AgentInterface",
    "CardRefused",
    "CardUnreachable",
    "Fetched",
    "InvalidCard",
    "Liveness",
    "answering",
    "card_in",
    "card_of",
    "encode_card",
    "fetch_card",
    "place_of",
    "refuse_elsewhere",
]
