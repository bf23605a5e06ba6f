"""The rules: what follows from what events say, by the ontology, worked out from the new triples of a batch alone.

They are RDFS (subclass, subproperty, domain, range) and of OWL 2 RL what the ontology uses: inverse, symmetric and
transitive properties, and chains of two. All that follows stands in one named graph, `urn:rookery:inferred`, whether
or not an event says it too, so that it is the same in whatever order events come.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

from pyoxigraph import Literal, NamedNode, Quad, Store

from .mapping import Triple
from .names import INFERRED, NAMED_KINDS, TYPE, kind_and_id, rk
from .ontology import classes_above, consequences, terminology
from .patterns import nodes
from .resemblance import resemblances

# Of a transitive property, what is so many steps apart is related, and nothing further: a chain of a million runs
# would otherwise be half a million million triples.
STEPS_MAX = 32


Key = tuple[NamedNode, NamedNode]


class Followed(NamedTuple):
    """What follows from a batch: the quads to add, and those of before that hold no longer."""

    quads: list[Quad]
    outdated: list[Quad]


def infer(store: Store, said: list[Quad]) -> Followed:
    """What follows from `said` and what is in the store."""
    batch = Batch(store, said)
    batch.close()
    blocks, outdated = resemblances(store, batch.lessons())
    return Followed([*batch.derived, *blocks], outdated)


class Batch:
    """The triples of a batch, those that they lead to, and the store beneath them.

    Each triple is looked at once, when it is new: with every rule, and joined with what is there already.
    """

    def __init__(self, store: Store, said: list[Quad]) -> None:
        self.store = store
        self._terms = terminology()
        self._said = dict.fromkeys(cast(Triple, tuple(quad)[:3]) for quad in said)
        self.derived: dict[Quad, None] = {}
        self._waiting: deque[Triple] = deque(self._said)
        self._joined = {*self._terms.chains_from, *self._terms.chains_to}
        self._steps = {step for steps in self._terms.steps.values() for step in steps}
        self._forward: dict[Key, set[NamedNode]] = defaultdict(set)
        self._backward: dict[Key, set[NamedNode]] = defaultdict(set)
        self.stored_objects: dict[Key, set[NamedNode]] = {}
        self.stored_subjects: dict[Key, set[NamedNode]] = {}
        self._typed: set[tuple[NamedNode, frozenset[NamedNode]]] = set()
        for triple in self._said:
            self.index(triple)

    def close(self) -> None:
        """Derive until nothing new follows."""
        for node in {node for subject, _, value in self._said for node in (subject, value)}:
            self.add(_id_of(node))
        for triple in self._said:
            if triple[1] in self._steps:
                self.add(self._above(triple))
        while self._waiting:
            triple = self._waiting.popleft()
            self._follow(triple)
            if triple[1] in self._joined:
                self.add(self._of_chains(triple))

    def lessons(self) -> dict[NamedNode, str]:
        """The lessons that the batch says, with their words."""
        return {subject: value.value for subject, predicate, value in self._said if predicate == rk("words")}

    def add(self, triples: Iterable[Triple]) -> None:
        """These follow; so may more, from them."""
        for triple in triples:
            if self.takes(triple):
                self._waiting.append(triple)

    def takes(self, triple: Triple) -> bool:
        """Whether a triple that follows is new, and so has to be looked at."""
        quad = Quad(*triple, INFERRED)
        if quad in self.derived or quad in self.store:
            return False
        self.derived[quad] = None
        self.index(triple)
        return True

    def index(self, triple: Triple) -> None:
        """Let later triples of the batch be joined with this one."""
        subject, predicate, value = triple
        if (predicate in self._joined or predicate in self._steps) and isinstance(value, NamedNode):
            self._forward[subject, predicate].add(value)
            self._backward[value, predicate].add(subject)

    def _follow(self, triple: Triple) -> None:
        """All that follows from one triple alone."""
        subject, predicate, value = triple
        if predicate == TYPE and isinstance(value, NamedNode):
            self._type(subject, classes_above(value))
            return
        follows = consequences(predicate)
        self._type(subject, follows.subject_classes)
        for above in follows.forward:
            self._join((subject, above, value))
        if isinstance(value, NamedNode):
            self._type(value, follows.object_classes)
            for inverse in follows.backward:
                self._join((value, inverse, subject))

    def _join(self, triple: Triple) -> None:
        """Add a triple of which all that follows from it alone is known: what is left are its chains."""
        if self.takes(triple) and triple[1] in self._joined:
            self.add(self._of_chains(triple))

    def _type(self, node: NamedNode, classes: frozenset[NamedNode]) -> None:
        if classes and (node, classes) not in self._typed:
            self._typed.add((node, classes))
            for each in classes:
                self.takes((node, TYPE, each))

    def _of_chains(self, triple: Triple) -> Iterator[Triple]:
        subject, predicate, value = triple
        if not isinstance(value, NamedNode):
            return
        for second, name in self._terms.chains_from.get(predicate, ()):
            for end in self._objects(value, second):
                yield subject, name, end
        for first, name in self._terms.chains_to.get(predicate, ()):
            for begin in self._subjects(subject, first):
                yield begin, name, value

    def _above(self, triple: Triple) -> Iterator[Triple]:
        """For a new step of a transitive property: from all that is below it to all that is above it."""
        subject, predicate, value = triple
        for name, steps in self._terms.steps.items():
            if predicate in steps and isinstance(value, NamedNode):
                above = self.reached(value, steps, upwards=True)
                for below, down in self.reached(subject, steps, upwards=False).items():
                    yield from ((below, name, end) for end, up in above.items() if down + 1 + up <= STEPS_MAX)

    def reached(self, start: NamedNode, steps: frozenset[NamedNode], *, upwards: bool) -> dict[NamedNode, int]:
        """What can be reached in steps that events have said, and in how many."""
        reached, edge = {start: 0}, [start]
        for distance in range(1, STEPS_MAX):
            following = (end for node in edge for step in steps for end in self.neighbours(node, step, upwards=upwards))
            edge = [node for node in set(following) if node not in reached]
            reached.update(dict.fromkeys(edge, distance))
        return reached

    def neighbours(self, node: NamedNode, step: NamedNode, *, upwards: bool) -> Iterator[NamedNode]:
        """What is one step away, as events have said."""
        subject, value = (node, None) if upwards else (None, node)
        for below, above, graph in nodes(self.store, subject, step, value):
            if graph != INFERRED:
                yield above if upwards else below
        for end in (self._forward if upwards else self._backward).get((node, step), ()):
            if ((node, step, end) if upwards else (end, step, node)) in self._said:
                yield end

    def _objects(self, subject: NamedNode, predicate: NamedNode) -> set[NamedNode]:
        key = (subject, predicate)
        if key not in self.stored_objects:
            self.stored_objects[key] = {value for _, value, _ in nodes(self.store, subject, predicate, None)}
        return self.stored_objects[key] | self._forward.get(key, set())

    def _subjects(self, value: NamedNode, predicate: NamedNode) -> set[NamedNode]:
        key = (value, predicate)
        if key not in self.stored_subjects:
            self.stored_subjects[key] = {subject for subject, _, _ in nodes(self.store, None, predicate, value)}
        return self.stored_subjects[key] | self._backward.get(key, set())


def _id_of(node: NamedNode | Literal) -> Iterator[Triple]:
    """The id in the IRI of a thing, as text."""
    if isinstance(node, NamedNode) and (found := kind_and_id(node.value)) and found[0] in NAMED_KINDS:
        yield node, rk("id"), Literal(found[1])
