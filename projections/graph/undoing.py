"""Undoing: taking back the last events of a graph, so that it is as one that has never heard of them.

What an event says can be dropped with its named graph. What followed from it may follow from other things too: so all
that followed is dropped first, and what of it still follows from what is left comes back, with all that follows then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple, cast

from pyoxigraph import DefaultGraph, Literal, NamedNode, Quad, Store

from .mapping import Triple
from .names import INFERRED, TYPE, URN, rk
from .ontology import Names, consequences, terminology
from .patterns import find, merged, said
from .resemblance import partings
from .rules import Batch

_EVENT = f"{URN}event:"


def undo(store: Store, events: Iterable[NamedNode]) -> None:
    """Take back what `events` say, which are the last ones of their origin, and what follows from nothing else."""
    taken = [quad for event in events for quad in store.quads_for_pattern(None, None, None, event)]
    _remove(store, taken)
    unsaid = [quad for quad in taken if quad.subject == quad.graph_name or not _is_said(store, quad)]
    doubted = _Doubted(store, unsaid)
    back, parted = partings(store, doubted.lessons())
    doubted.close()
    doubtful = [*parted, *doubted.derived]
    _remove(store, doubtful)
    _remove(store, (_seen(quad) for quad in doubtful if not _is_said(store, quad)))
    _remove(store, (_seen(quad) for quad in unsaid if Quad(*_triple(quad), INFERRED) not in store))
    left = _Left(store, [])
    left.add(triple for triple in map(_triple, doubted.derived) if follows(left, triple))
    left.close()
    store.extend(merged([*left.derived, *back]))


def follows(batch: Batch, triple: Triple) -> bool:
    """Whether some rule gives a triple that is not in the store, from what is: nothing, if its subject is not there."""
    return _is_mentioned(batch.store, triple[0]) and any(rule(batch, *triple) for rule in RULES)


class _Doubted(Batch):
    """What followed from triples that nobody says any more, be it from others too."""

    def takes(self, triple: Triple) -> bool:
        """Whether a triple is in the store, as one that follows, and was not doubted before."""
        quad = Quad(*triple, INFERRED)
        if quad in self.derived or quad not in self.store:
            return False
        self.derived[quad] = None
        self.index(triple)
        return True


class _Left(Batch):
    """What still follows. What an event says follows from something else only: not from what follows from it."""

    def takes(self, triple: Triple) -> bool:
        """Whether a triple that follows is not in the store."""
        subject, predicate, value = triple
        circular = predicate != TYPE and _is_told(self.store, subject, predicate, value) and not follows(self, triple)
        return not circular and super().takes(triple)


def _remove(store: Store, quads: Iterable[Quad]) -> None:
    for quad in quads:
        store.remove(quad)


def _seen(quad: Quad) -> Quad:
    """What queries see of a quad."""
    return Quad(*quad.triple)


def _is_said(store: Store, quad: Quad) -> bool:
    return any(one.graph_name != INFERRED for one in said(store.quads_for_pattern(*quad.triple)))


def _triple(quad: Quad) -> Triple:
    return cast(Triple, tuple(quad)[:3])


# One rule each, backwards


class _Causes(NamedTuple):
    """From which properties another follows, as it stands and turned round, and whose ends are of a class."""

    forward: Names
    backward: Names
    subjects: Names
    objects: Names
    subclasses: Names


def _is_named(batch: Batch, subject: NamedNode, predicate: NamedNode, value: NamedNode | Literal) -> bool:
    """A thing that is named anywhere has an id."""
    return predicate == rk("id")


def _is_of_class(batch: Batch, subject: NamedNode, predicate: NamedNode, value: NamedNode | Literal) -> bool:
    """A thing is of a class that is above its own, or that its properties' domain or range has."""
    if predicate != TYPE or not isinstance(value, NamedNode):
        return False
    causes = _causes()
    return (
        any(_is_known(batch.store, subject, TYPE, below) for below in causes.subclasses.get(value, ()))
        or any(_is_known(batch.store, subject, name, None) for name in causes.subjects.get(value, ()))
        or any(_is_known(batch.store, None, name, subject) for name in causes.objects.get(value, ()))
    )


def _is_implied(batch: Batch, subject: NamedNode, predicate: NamedNode, value: NamedNode | Literal) -> bool:
    """A property holds because one below it does, or the inverse of one."""
    causes = _causes()
    holds = _is_told if _is_told(batch.store, subject, predicate, value) else _is_known
    return any(holds(batch.store, subject, name, value) for name in causes.forward.get(predicate, ())) or (
        isinstance(value, NamedNode)
        and any(holds(batch.store, value, name, subject) for name in causes.backward.get(predicate, ()))
    )


def _is_chained(batch: Batch, subject: NamedNode, predicate: NamedNode, value: NamedNode | Literal) -> bool:
    """Two properties meet in a thing, which is looked for from both ends until one of them has no more."""
    if not isinstance(value, NamedNode):
        return False
    for first, second in _chains().get(predicate, ()):
        onwards = batch.store.quads_for_pattern(subject, first, None, DefaultGraph())
        back = batch.store.quads_for_pattern(None, second, value, DefaultGraph())
        for near, far in zip(onwards, back, strict=False):
            if _is_there(batch.store, near.object, second, value) or _is_there(
                batch.store, subject, first, far.subject
            ):
                return True
    return False


def _is_reached(batch: Batch, subject: NamedNode, predicate: NamedNode, value: NamedNode | Literal) -> bool:
    """Steps of a transitive property lead there."""
    steps = terminology().steps.get(predicate, frozenset())
    ends = (end for step in steps for end in batch.neighbours(subject, step, upwards=True))
    return any(value in batch.reached(end, steps, upwards=True) for end in ends)


RULES = (_is_named, _is_of_class, _is_implied, _is_chained, _is_reached)


def _is_mentioned(store: Store, node: NamedNode) -> bool:
    return _is_known(store, node, None, None) or _is_known(store, None, None, node)


Node = NamedNode | None


def _is_known(store: Store, subject: Node, predicate: Node, value: Node | Literal) -> bool:
    """Whether an event says so, or it follows: nothing follows from reference data alone."""
    seen = store.quads_for_pattern(subject, predicate, value, DefaultGraph())
    return any(Quad(*_triple(quad), INFERRED) in store or _is_told(store, *_triple(quad)) for quad in seen)


def _is_told(store: Store, subject: NamedNode, predicate: NamedNode, value: NamedNode | Literal) -> bool:
    """Whether an event says so."""
    return any(found.graph.value.startswith(_EVENT) for found in find(store, subject, predicate, value))


def _is_there(store: Store, subject: Any, predicate: NamedNode, value: Any) -> bool:
    return isinstance(value, NamedNode) and Quad(subject, predicate, value) in store


@cache
def _causes() -> _Causes:
    terms = terminology()
    properties = {*terms.superproperties, *terms.domains, *terms.ranges, *terms.inverses}
    follows = {name: consequences(name) for name in properties}
    return _Causes(
        forward=_turned({name: found.forward for name, found in follows.items()}),
        backward=_turned({name: found.backward for name, found in follows.items()}),
        subjects=_turned({name: found.subject_classes for name, found in follows.items()}),
        objects=_turned({name: found.object_classes for name, found in follows.items()}),
        subclasses=_turned(terms.superclasses),
    )


@cache
def _chains() -> dict[NamedNode, list[tuple[NamedNode, NamedNode]]]:
    found = defaultdict(list)
    for first, ends in terminology().chains_from.items():
        for second, name in ends:
            found[name].append((first, second))
    return dict(found)


def _turned(names: Names) -> Names:
    """For each of the others, those that have it."""
    found: dict[NamedNode, set[NamedNode]] = defaultdict(set)
    for one, others in names.items():
        for other in others:
            found[other].add(one)
    return {other: frozenset(ones) for other, ones in found.items()}
