"""What can go wrong with agents of elsewhere, which are known by their cards.

RookeryError
├── InvalidInput
│   ├── InvalidCard         a document is no agent card (reason)
│   └── CardRefused         a card, or where it is, is not to be trusted (where, reason)
└── CardUnreachable         nothing could be fetched from where a card should be (url, reason)
"""

from __future__ import annotations

from ...schemas import InvalidInput, RookeryError


class InvalidCard(InvalidInput):
    """A document is no agent card: `reason` says in which field, and why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not an agent card: {reason}")


class CardRefused(InvalidInput):
    """A card says what isn't so, or lies where nobody is to be sent; nothing was registered."""

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        self.reason = reason
        super().__init__(f"{where}: {reason}")


class CardUnreachable(RookeryError):
    """Nothing came from where a card, or the agent that it speaks of, should be."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"nothing came from {url}: {reason}")
