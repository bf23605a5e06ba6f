"""Taking an agent of elsewhere in by its card: it is looked into first, and registered only if it is what it says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Final

import msgspec

from ...handlers.a2a import AgentCard, Fetched, answering, card_in, fetch_card
from ...handlers.reactions import InvalidCommand
from ...schemas.vocabulary import AgentId
from ..roster import Registration

ID_CHARACTERS_MAX = 128
TRANSPORT: Final = "a2a"


class CardImport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A card, or where it is; and the id that its agent is to have, which otherwise is made of its name."""

    url: str | None = None
    card: msgspec.Raw = msgspec.Raw(b"")
    agent_id: AgentId | None = None
    parent_agent_id: AgentId | None = None
    again: bool = False


async def registration_of(asked: CardImport, *, allowed: Collection[str]) -> Registration:
    """What an agent is registered as by its card. `allowed` as in `fetch_card`.

    Raises `InvalidCard`, `CardRefused`, `CardUnreachable`, or `InvalidCommand` where neither or both are given.
    """
    payload = bytes(asked.card)
    if (asked.url is None) != bool(payload):
        raise InvalidCommand("give either the card or its url", "body")
    fetched = (
        await _looked_into(payload, allowed) if asked.url is None else await fetch_card(asked.url, allowed=allowed)
    )
    card, interface = fetched.card, fetched.interface
    told = {
        "url": asked.url,
        "protocol_binding": interface.protocol_binding,
        "protocol_version": interface.protocol_version,
        "tenant": interface.tenant,
        "asks_for_credentials": card.asks_for_credentials or None,
        "skills": {skill.id: skill.name for skill in card.skills},
    }
    return Registration(
        agent_id=asked.agent_id or id_of(card),
        name=card.name,
        description=card.description or None,
        version=card.version or None,
        capabilities=[skill.id for skill in card.skills],
        transport=TRANSPORT,
        endpoint=interface.url,
        parent_agent_id=asked.parent_agent_id,
        metadata={"a2a": {name: value for name, value in told.items() if value is not None}},
        again=asked.again,
    )


def id_of(card: AgentCard) -> str:
    """An id made of a card's name: lower case, with hyphens. Raises `InvalidCommand` where nothing is left of it."""
    plain = unicodedata.normalize("NFKD", card.name).encode("ascii", "ignore").decode().lower()
    found = re.sub(r"[^a-z0-9._]+", "-", plain).strip("-.")[:ID_CHARACTERS_MAX]
    if not found:
        raise InvalidCommand(f"no id can be made of the name {card.name!r}: give one", "agent_id")
    return found


async def _looked_into(payload: bytes, allowed: Collection[str]) -> Fetched:
    card = card_in(payload)
    return Fetched(card, await answering(card, allowed=allowed))
