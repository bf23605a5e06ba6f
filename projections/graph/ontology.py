"""The ontology, read from its file into what the rules look up."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple, cast

from pyoxigraph import NamedNode, Quad, RdfFormat, Triple, parse

from ...schemas import reading_fingerprint
from ..relations import relations
from .names import OWL, RDF, RDFS

FOLDER = Path(__file__).parent
ONTOLOGY_FILE = FOLDER / "ontology.ttl"
SHAPES_FILE = FOLDER / "shapes.ttl"

# What makes a graph what it is: with another of these, it is made anew.
_RECIPE = (
    "ontology.ttl",
    "ontology.py",
    "names.py",
    "mapping.py",
    "sightings.py",
    "lessons.py",
    "resemblance.py",
    "rules.py",
)

Names = dict[NamedNode, frozenset[NamedNode]]


class Terminology(NamedTuple):
    """What is declared of classes and properties, closed under subclass and subproperty.

    `chains_from`: for the first property of a chain, the second and what follows; `chains_to`: the same for the second,
    with the first. `steps`: for a transitive property, the properties that are steps of it.
    """

    superclasses: Names
    superproperties: Names
    domains: Names
    ranges: Names
    inverses: Names
    chains_from: dict[NamedNode, list[tuple[NamedNode, NamedNode]]]
    chains_to: dict[NamedNode, list[tuple[NamedNode, NamedNode]]]
    steps: Names


def fingerprint() -> str:
    """A digest of all that a graph follows from, besides the log."""
    found = hashlib.sha256(reading_fingerprint().encode())
    for name in _RECIPE:
        found.update((FOLDER / name).read_bytes())
    found.update("\n".join(map(str, relations().values())).encode())
    return found.hexdigest()


def ontology(graph: NamedNode) -> list[Quad]:
    """The ontology's triples, in a named graph."""
    return [Quad(triple.subject, triple.predicate, triple.object, graph) for triple in _declared()]


@cache
def terminology() -> Terminology:
    """What the ontology declares."""
    declared = _declared()
    subclasses = _pairs(declared, f"{RDFS}subClassOf")
    subproperties = _pairs(declared, f"{RDFS}subPropertyOf")
    superproperties = _closed(subproperties)
    symmetric = _instances(declared, f"{OWL}SymmetricProperty")
    inverse = _pairs(declared, f"{OWL}inverseOf")
    inverses = [*inverse, *((other, one) for one, other in inverse), *((one, one) for one in symmetric)]
    chains = [(*_listed(declared, first), name) for name, first in _pairs(declared, f"{OWL}propertyChainAxiom")]
    transitive = _instances(declared, f"{OWL}TransitiveProperty")
    return Terminology(
        superclasses=_closed(subclasses),
        superproperties=superproperties,
        domains=_grouped(_pairs(declared, f"{RDFS}domain")),
        ranges=_grouped((name, kind) for name, kind in _pairs(declared, f"{RDFS}range") if _is_class(kind)),
        inverses=_grouped(inverses),
        chains_from=_indexed((first, (second, name)) for first, second, name in chains),
        chains_to=_indexed((second, (first, name)) for first, second, name in chains),
        steps={
            name: frozenset({name, *(step for step, above in superproperties.items() if name in above)})
            for name in transitive
        },
    )


class Consequences(NamedTuple):
    """What follows from a triple of a property alone, whatever its ends are.

    `forward` and `backward` are the properties that hold as well, from subject to object and the other way.
    """

    forward: frozenset[NamedNode]
    backward: frozenset[NamedNode]
    subject_classes: frozenset[NamedNode]
    object_classes: frozenset[NamedNode]


@lru_cache(maxsize=1_024)
def consequences(predicate: NamedNode) -> Consequences:
    """What follows from a triple of `predicate`, and from what follows, until nothing new does."""
    terms = terminology()
    held = {(predicate, True)}  # a property, and whether it holds from subject to object
    followed: set[tuple[NamedNode, bool]] = set()
    while held - followed:
        name, onwards = one = (held - followed).pop()
        followed.add(one)
        held |= {(above, onwards) for above in terms.superproperties.get(name, ())}
        held |= {(inverse, not onwards) for inverse in terms.inverses.get(name, ())}
    subject_classes = {
        kind for name, onwards in held for kind in (terms.domains if onwards else terms.ranges).get(name, ())
    }
    object_classes = {
        kind for name, onwards in held for kind in (terms.ranges if onwards else terms.domains).get(name, ())
    }
    return Consequences(
        forward=frozenset(name for name, onwards in held if onwards and name != predicate),
        backward=frozenset(name for name, onwards in held if not onwards),
        subject_classes=frozenset(subject_classes).union(*map(classes_above, subject_classes)),
        object_classes=frozenset(object_classes).union(*map(classes_above, object_classes)),
    )


def classes_above(kind: NamedNode) -> frozenset[NamedNode]:
    """The classes that a class is a subclass of."""
    return terminology().superclasses.get(kind, frozenset())


@cache
def _declared() -> list[Triple]:
    found = parse(ONTOLOGY_FILE.read_bytes(), format=RdfFormat.TURTLE)
    return [quad.triple for quad in found]


def _pairs(declared: Iterable[Triple], predicate: str) -> list[tuple[NamedNode, NamedNode]]:
    found = ((one.subject, one.object) for one in declared if one.predicate.value == predicate)
    return [cast(tuple[NamedNode, NamedNode], pair) for pair in found]


def _instances(declared: Iterable[Triple], kind: str) -> list[NamedNode]:
    return [name for name, found in _pairs(declared, f"{RDF}type") if found.value == kind]


def _is_class(node: NamedNode) -> bool:
    return not node.value.startswith("http://www.w3.org/2001/XMLSchema#")


def _listed(declared: list[Triple], head: NamedNode) -> list[NamedNode]:
    """The members of an RDF list."""
    first, rest = dict(_pairs(declared, f"{RDF}first")), dict(_pairs(declared, f"{RDF}rest"))
    members = []
    while head in first:
        members.append(first[head])
        head = rest[head]
    return members


def _grouped(pairs: Iterable[tuple[NamedNode, NamedNode]]) -> Names:
    found: dict[NamedNode, set[NamedNode]] = defaultdict(set)
    for one, other in pairs:
        found[one].add(other)
    return {one: frozenset(others) for one, others in found.items()}


def _indexed(
    items: Iterable[tuple[NamedNode, tuple[NamedNode, NamedNode]]],
) -> dict[NamedNode, list[tuple[NamedNode, NamedNode]]]:
    found = defaultdict(list)
    for key, value in items:
        found[key].append(value)
    return dict(found)


def _closed(pairs: Iterable[tuple[NamedNode, NamedNode]]) -> Names:
    """Everything above each, however many steps up."""
    above = {one: set(others) for one, others in _grouped(pairs).items()}
    grew = True
    while grew:
        grew = False
        for others in above.values():
            further = {higher for other in others for higher in above.get(other, ())} - others
            others |= further
            grew = grew or bool(further)
    return {one: frozenset(others) for one, others in above.items()}
