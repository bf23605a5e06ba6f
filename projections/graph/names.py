"""What things are called in the graph: the IRI of an agent, a run, an event, and the vocabularies' terms.

An id may be any text, so it is percent-encoded into its IRI: the agent `coder 7` is `urn:rookery:agent:coder%207`.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote, unquote

from pyoxigraph import NamedNode

RK = "https://rookery.dev/ns#"
PROV = "http://www.w3.org/ns/prov#"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
OWL = "http://www.w3.org/2002/07/owl#"
XSD = "http://www.w3.org/2001/XMLSchema#"

URN = "urn:rookery:"

PREFIXES = {"rk": RK, "prov": PROV, "rdf": RDF, "rdfs": RDFS, "owl": OWL, "xsd": XSD}

INFERRED = NamedNode(f"{URN}inferred")  # what rules made of what events say
ONTOLOGY = NamedNode(f"{URN}ontology")  # the classes and properties themselves
BOOKKEEPING = NamedNode(f"{URN}bookkeeping")  # how far the graph is, and what it was made from

TYPE = NamedNode(f"{RDF}type")
LABEL = NamedNode(f"{RDFS}label")

# Things that an event names by their id; `rk:id` has the id as text.
NAMED_KINDS = frozenset({"agent", "assignment", "feedback", "insight", "model", "node", "run", "skill", "task", "tool"})


@lru_cache(maxsize=512)
def rk(name: str) -> NamedNode:
    """A term of the ontology."""
    return NamedNode(RK + name)


@lru_cache(maxsize=64)
def prov(name: str) -> NamedNode:
    """A term of PROV-O."""
    return NamedNode(PROV + name)


@lru_cache(maxsize=16_384)
def thing(kind: str, *ids: str) -> NamedNode:
    """The IRI of a thing: `thing("agent", "coder-7")`, `thing("model", "openai", "gpt-4o")`."""
    return NamedNode(URN + ":".join((kind, *(quote(one, safe="-._~") for one in ids))))


def event_iri(origin: str, n: int) -> NamedNode:
    """The IRI of an event, which is also the named graph of what it says."""
    return NamedNode(f"{URN}event:{origin}:{n}")


def kind_and_id(iri: str) -> tuple[str, str] | None:
    """The kind and the id in the IRI of a thing; None for other IRIs. A model's id is `provider/model`."""
    if not iri.startswith(URN):
        return None
    kind, _, encoded = iri.removeprefix(URN).partition(":")
    return kind, "/".join(map(unquote, encoded.split(":")))
