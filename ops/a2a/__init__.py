"""A2A at a node: its cards, its answers to clients, and taking agents of elsewhere in."""

from .answering import Asking, answer
from .cards import SKILLS, agent_there, card_of_agent, card_of_colony, skills_of_colony
from .importing import CardImport, registration_of

__all__ = [
    "SKILLS",
    "Asking",
    "CardImport",
    "agent_there",
    "answer",
    "card_of_agent",
    "card_of_colony",
    "registration_of",
    "skills_of_colony",
]
