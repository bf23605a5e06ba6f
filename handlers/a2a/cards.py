"""Agent cards: how an agent introduces itself to A2A clients, and what another's card must say to be believed.

Cards are written as A2A 1.0 has them, with what clients of 0.3 look for beside it. Both are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ...schemas.vocabulary import Name
from .errors import InvalidCard

CARD_BYTES_MAX = 256 * 1024
SKILLS_MAX = 100
INTERFACES_MAX = 20
LIVENESS = "https://rookery.dev/a2a/extensions/liveness/v1"
JSON_RPC = "JSONRPC"
VERSION, OLD_VERSION = "1.0", "0.3"
MODES = ["application/json", "text/plain"]

Url = Annotated[str, Meta(min_length=1, max_length=2048, pattern=r"^https?://[^\s\x00-\x1f\x7f]+\Z")]
Words = Annotated[str, Meta(max_length=4096)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Something in a card. What a later version of A2A adds to it is left aside."""


class AgentInterface(_Part, frozen=True, kw_only=True):
    """Where an agent is reached, and in which way."""

    url: Url
    protocol_binding: Annotated[str, Meta(min_length=1, max_length=64)]
    protocol_version: Annotated[str, Meta(min_length=1, max_length=32)]
    tenant: Words | None = None


class OldInterface(_Part, frozen=True, kw_only=True):
    """The same, as A2A 0.3 has it."""

    url: Url
    transport: Annotated[str, Meta(min_length=1, max_length=64)]


class AgentExtension(_Part, frozen=True, kw_only=True):
    """What a card says beyond A2A, told from other such things by its URI."""

    uri: Annotated[str, Meta(min_length=1, max_length=2048)]
    description: Words = ""
    required: bool = False
    params: dict[str, Any] | None = None


class AgentAbilities(_Part, frozen=True, kw_only=True):
    """Which optional parts of A2A an agent supports."""

    streaming: bool = False
    push_notifications: bool = False
    extended_agent_card: bool = False
    extensions: list[AgentExtension] = []


class AgentSkill(_Part, frozen=True, kw_only=True):
    """One thing that an agent can do: its id is what Rookery calls a capability."""

    id: Name
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    description: Words
    tags: Annotated[list[Words], Meta(max_length=100)] = []
    examples: Annotated[list[Words], Meta(max_length=100)] = []


class AgentProvider(_Part, frozen=True, kw_only=True):
    """Who runs an agent."""

    organization: Words
    url: Words


class AgentCard(_Part, frozen=True, kw_only=True):
    """An agent's card. `url`, `preferred_transport` and `protocol_version` are for, or from, clients of A2A 0.3."""

    name: Name
    description: Words
    version: Annotated[str, Meta(max_length=256)]
    supported_interfaces: Annotated[list[AgentInterface], Meta(max_length=INTERFACES_MAX)] = []
    capabilities: AgentAbilities = AgentAbilities()
    default_input_modes: Annotated[list[Words], Meta(max_length=100)] = []
    default_output_modes: Annotated[list[Words], Meta(max_length=100)] = []
    skills: Annotated[list[AgentSkill], Meta(max_length=SKILLS_MAX)]
    provider: AgentProvider | None = None
    documentation_url: Words | None = None
    security_requirements: list[Any] = []
    security: list[Any] = []
    url: Url | None = None
    preferred_transport: Words = JSON_RPC
    protocol_version: Annotated[str, Meta(max_length=32)] | None = None
    additional_interfaces: Annotated[list[OldInterface], Meta(max_length=INTERFACES_MAX)] = []

    @property
    def interfaces(self) -> list[AgentInterface]:
        """Where the agent is reached, whichever version the card is of; the first is the one that it prefers."""
        if self.supported_interfaces or self.url is None:
            return self.supported_interfaces
        version = self.protocol_version or OLD_VERSION
        named = [(self.url, self.preferred_transport)]
        named += [(one.url, one.transport) for one in self.additional_interfaces]
        return [
            AgentInterface(url=url, protocol_binding=binding, protocol_version=version)
            for url, binding in dict.fromkeys(named)
        ]

    @property
    def asks_for_credentials(self) -> bool:
        """Whether only who shows credentials may call it."""
        return bool(self.security_requirements or self.security)


class Liveness(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The parameters of the liveness extension: what the colony holds of the agent at `as_of`, and on what grounds."""

    state: str
    as_of: datetime
    last_seen_at: datetime | None = None
    heartbeat_interval_seconds: float | None = None
    incarnation: int | None = None
    active_assignments: int | None = None


def card_in(payload: bytes) -> AgentCard:
    """The card that a document is. Raises `InvalidCard`."""
    if len(payload) > CARD_BYTES_MAX:
        raise InvalidCard(f"it is larger than {CARD_BYTES_MAX:,} bytes")
    try:
        card = msgspec.json.decode(payload, type=AgentCard)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCard(str(error)) from None
    if not card.interfaces:
        raise InvalidCard("it names no interface: supportedInterfaces is empty, and there is no url")
    if len({skill.id for skill in card.skills}) < len(card.skills):
        raise InvalidCard("two of its skills have the same id")
    return card


def card_of(
    *,
    name: str,
    description: str,
    version: str,
    url: str,
    capabilities: Iterable[str],
    liveness: dict[str, Any],
    documentation_url: str | None = None,
) -> AgentCard:
    """The card of somebody who is reached through a node, by JSON-RPC at `url`."""
    extension = AgentExtension(
        uri=LIVENESS, description="Whether it is alive, by what was heard of it.", params=liveness
    )
    return AgentCard(
        name=name,
        description=description,
        version=version,
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding=JSON_RPC, protocol_version=known)
            for known in (VERSION, OLD_VERSION)
        ],
        capabilities=AgentAbilities(extensions=[extension]),
        default_input_modes=MODES,
        default_output_modes=MODES,
        skills=list(_skills(capabilities)),
        documentation_url=documentation_url,
        url=url,
        protocol_version=OLD_VERSION,
    )


def encode_card(card: AgentCard) -> bytes:
    """The card as a document, with those fields that readers expect even where they are empty or usual."""
    written = msgspec.to_builtins(card)
    expected = {"skills": [], "capabilities": {}, "preferredTransport": JSON_RPC}
    return msgspec.json.encode({**expected, **written})


def _skills(capabilities: Iterable[str]) -> Iterator[AgentSkill]:
    for capability in list(capabilities)[:SKILLS_MAX]:
        kind, _, action = capability.rpartition(".")
        words = capability.replace(".", " ").replace("_", " ")
        yield AgentSkill(
            id=capability, name=words, description=f"Work of the kind `{capability}`.", tags=[kind or action]
        )
