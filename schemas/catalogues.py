"""A catalogue: the agents that a colony is meant to have, as one file that people write and a JSON Schema checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from .agents import AgentVersion, AssignmentsMax, Description, DisplayName, Endpoint, Role, Tier, Transport
from .errors import InvalidInput
from .vocabulary import AgentId, Labels, Name

CATALOGUE_BYTES_MAX = 4 * 1024 * 1024
AGENTS_MAX = 10_000
CAPABILITIES_MAX = 100
FAULTS_SHOWN_MAX = 10

Interval = Annotated[float, Meta(gt=0, le=86_400, description="How often it means to say that it is alive.")]


class CatalogueEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One agent or service of a catalogue."""

    id: AgentId
    name: DisplayName
    description: Description
    role: Role
    tier: Tier | None = None
    parent: Annotated[AgentId, Meta(description="The agent of the catalogue that it answers to.")] | None = None
    capabilities: Annotated[
        list[Name], Meta(min_length=1, max_length=CAPABILITIES_MAX, description="What it can do, as in `code.review`.")
    ]
    transport: Transport
    endpoint: Endpoint | None = None
    version: AgentVersion | None = None
    heartbeat_interval_seconds: Interval | None = None
    assignments_max: AssignmentsMax | None = None
    metadata: Labels | None = None


class AgentCatalogue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The agents that a colony is meant to have. Who is named as a parent is among them; nobody answers to itself."""

    schema: Annotated[str, Meta(description="Where the schema of this file is, for editors.")] | None = msgspec.field(
        default=None, name="$schema"
    )
    name: Annotated[Name, Meta(description="What the catalogue is called, as in `polyglot-swarm`.")]
    version: Annotated[str, Meta(max_length=64, description="The catalogue's version.")]
    description: Annotated[str, Meta(max_length=4096, description="What the colony is for.")] = ""
    agents: Annotated[list[CatalogueEntry], Meta(min_length=1, max_length=AGENTS_MAX)]


class InvalidCatalogue(InvalidInput):
    """A catalogue contradicts its schema or itself; `faults` says where and how."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = faults
        more = len(faults) - FAULTS_SHOWN_MAX
        listed = "; ".join(faults[:FAULTS_SHOWN_MAX]) + (f"; and {more:,} more" if more > 0 else "")
        super().__init__(f"not a catalogue of agents: {listed}")


def catalogue_in(payload: bytes) -> AgentCatalogue:
    """The catalogue that a file holds, those whom others answer to before them. Raises `InvalidCatalogue`."""
    if len(payload) > CATALOGUE_BYTES_MAX:
        raise InvalidCatalogue([f"larger than {CATALOGUE_BYTES_MAX:,} bytes"])
    try:
        found = msgspec.json.decode(payload, type=AgentCatalogue)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCatalogue([str(error)]) from None
    if faults := [*_named_twice(found), *_strangers(found), *_circles(found)]:
        raise InvalidCatalogue(faults)
    depths = {entry.id: depth for entry, depth in _depths(found)}
    return msgspec.structs.replace(found, agents=sorted(found.agents, key=lambda entry: depths[entry.id]))


def _named_twice(catalogue: AgentCatalogue) -> Iterator[str]:
    for field in ("id", "name"):
        counted = Counter(getattr(entry, field) for entry in catalogue.agents)
        yield from (f"{count} agents have the {field} {value!r}" for value, count in counted.items() if count > 1)


def _strangers(catalogue: AgentCatalogue) -> Iterator[str]:
    known = [entry.id for entry in catalogue.agents]
    for entry in catalogue.agents:
        if entry.parent is not None and entry.parent not in known:
            nearest = get_close_matches(entry.parent, known, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            yield f"{entry.id!r} answers to {entry.parent!r}, who isn't in it{hint}"


def _circles(catalogue: AgentCatalogue) -> Iterator[str]:
    reached = {entry.id for entry, _ in _depths(catalogue)}
    parents = {entry.id: entry.parent for entry in catalogue.agents}
    for entry in catalogue.agents:
        if entry.id not in reached and _leads_home(entry.id, parents):
            yield f"{entry.id!r} answers to itself, through {entry.parent!r}"


def _leads_home(start: str, parents: dict[str, str | None]) -> bool:
    at = parents[start]
    for _ in parents:
        if at is None or at == start:
            break
        at = parents.get(at)
    return at == start


def _depths(catalogue: AgentCatalogue) -> Iterator[tuple[CatalogueEntry, int]]:
    """Who can be reached from above, with how far below the top they are."""
    below: dict[Any, list[CatalogueEntry]] = {}
    for entry in catalogue.agents:
        below.setdefault(entry.parent, []).append(entry)
    level, depth = below.get(None, []), 0
    while level:
        yield from ((entry, depth) for entry in level)
        level, depth = [entry for above in level for entry in below.get(above.id, [])], depth + 1
