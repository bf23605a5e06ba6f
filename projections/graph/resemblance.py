"""Entity resolution of lessons: which say nearly the same, worked out from the new ones and those in their blocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from pyoxigraph import Literal, NamedNode, Quad, Store

from .lessons import BLOCK_LESSONS_MAX, alike, blocks
from .names import BOOKKEEPING, INFERRED, rk
from .patterns import find


def resemblances(store: Store, said: Mapping[NamedNode, str]) -> tuple[list[Quad], list[Quad]]:
    """What the lessons in a batch add, and which resemblances hold no longer, because a block has become too common.

    A pair is judged in the first block that the two share, so that which pairs there are depends on the lessons alone,
    not on the order in which they came.
    """
    new = {lesson: words for lesson, words in said.items() if not _in_blocks(store, lesson)}
    names: dict[str, NamedNode] = {words: lesson for lesson, words in new.items()}
    joining: dict[str, set[str]] = defaultdict(set)
    added: list[Quad] = []
    outdated: list[Quad] = []
    for lesson, words in new.items():
        for block in blocks(words):
            joining[block].add(words)
            added.append(Quad(lesson, rk("inBlock"), Literal(block), BOOKKEEPING))
    for block, joined in joining.items():
        before = _members(store, block)
        names |= before
        band = int(block.partition("-")[0])
        if len(before) + len(joined) <= BLOCK_LESSONS_MAX:
            added += _pairs(names, alike(joined, before, band))
        elif len(before) <= BLOCK_LESSONS_MAX:
            outdated += _pairs(names, alike(before, (), band))
    return added, outdated


def partings(store: Store, unsaid: Collection[NamedNode]) -> tuple[list[Quad], list[Quad]]:
    """The other way round: what comes back, and what goes, when no event says these lessons any more.

    What comes back are the resemblances in blocks that were too common with them.
    """
    gone: list[Quad] = []
    leaving: dict[str, int] = defaultdict(int)
    for lesson in unsaid:
        for found in find(store, lesson, rk("inBlock"), None, BOOKKEEPING):
            gone.append(Quad(*found))
            leaving[found.value.value] += 1
        gone += (Quad(*found) for found in find(store, lesson, rk("resembles"), None, INFERRED))
        gone += (Quad(*found) for found in find(store, None, rk("resembles"), lesson, INFERRED))
    back: list[Quad] = []
    for block, count in leaving.items():
        left = _members(store, block, without=unsaid)
        if len(left) <= BLOCK_LESSONS_MAX < len(left) + count:
            back += _pairs(left, alike(left, (), int(block.partition("-")[0])))
    return back, gone


def _pairs(names: Mapping[str, NamedNode], pairs: Iterator[tuple[str, str]]) -> Iterator[Quad]:
    for one, other in pairs:
        yield Quad(names[one], rk("resembles"), names[other], INFERRED)
        yield Quad(names[other], rk("resembles"), names[one], INFERRED)


def _in_blocks(store: Store, lesson: NamedNode) -> bool:
    return any(True for _ in find(store, lesson, rk("inBlock"), None, BOOKKEEPING))


def _members(store: Store, block: str, without: Collection[NamedNode] = ()) -> dict[str, NamedNode]:
    """The lessons of a block, by their words; one more than a block may have is enough to know."""
    members: dict[str, NamedNode] = {}
    for lesson in find(store, None, rk("inBlock"), Literal(block), BOOKKEEPING):
        if lesson.subject in without:
            continue
        words = next(find(store, lesson.subject, rk("words"), None))
        members[words.value.value] = lesson.subject
        if len(members) > BLOCK_LESSONS_MAX:
            break
    return members
