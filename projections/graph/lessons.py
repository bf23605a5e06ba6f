"""Lessons: what insights and failures say, the same lesson for the same words, so that near-equal ones can be found."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b, sha256
from itertools import chain, combinations, product

RESEMBLANCE_MIN = 0.8  # of two lessons' words, the share that both have
# Lessons are compared if all ROWS minima of a band agree: 98 % of the pairs that share 0.8 of their words, 20 % at 0.4.
BANDS = 8
ROWS = 4
BLOCK_LESSONS_MAX = 64  # a block with more says nothing of any two in it: it is a form that was filled in

_WORDS = re.compile(r"\w+")
_PRIME = 2**61 - 1


def normalised(text: str) -> str:
    """A text's words, whatever its case, spacing, punctuation and accents' encoding."""
    return " ".join(_WORDS.findall(unicodedata.normalize("NFKC", text).casefold()))


def digest(text: str) -> str:
    """A short name for a text."""
    return sha256(text.encode()).hexdigest()[:24]


@lru_cache(maxsize=4_096)
def blocks(words: str) -> tuple[str, ...]:
    """The blocks that a lesson falls into, one a band: near-equal lessons share at least one, nearly always."""
    tokens = [_hashed(token) for token in sorted(set(words.split()))]
    if not tokens:
        return ()
    minima = [min((a * token + b) % _PRIME for token in tokens) for a, b in _permutations()]
    bands = (minima[band * ROWS : (band + 1) * ROWS] for band in range(BANDS))
    return tuple(f"{band}-{digest(repr(values))}" for band, values in enumerate(bands))


def resemblance(one: str, other: str) -> float:
    """The share of two lessons' words that both have, from 0 to 1."""
    mine, theirs = set(one.split()), set(other.split())
    return len(mine & theirs) / (len(mine | theirs) or 1)


def alike(new: Collection[str], known: Iterable[str], band: int) -> Iterator[tuple[str, str]]:
    """The pairs of a block's lessons that resemble each other, and that no earlier band's block has brought together.

    Each pair has at least one of the `new` lessons.
    """
    ordered = sorted(new)
    for one, other in chain(combinations(ordered, 2), product(ordered, known)):
        met = any(mine == theirs for mine, theirs in zip(blocks(one)[:band], blocks(other)[:band], strict=True))
        if not met and resemblance(one, other) >= RESEMBLANCE_MIN:
            yield one, other


def _hashed(token: str) -> int:
    return int.from_bytes(blake2b(token.encode(), digest_size=8).digest()) % _PRIME


@lru_cache(maxsize=1)
def _permutations() -> list[tuple[int, int]]:
    return [(_hashed(f"a{row}") | 1, _hashed(f"b{row}")) for row in range(BANDS * ROWS)]
