"""The Merkle tree of RFC 9162 over a segment's lines: one hash that any line can later be proved against."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

BLOCK_HEIGHT = 8
BLOCK_LEAVES = 1 << BLOCK_HEIGHT
HASH_BYTES = 32


class MerkleTree:
    """A tree that is grown leaf by leaf and keeps only the roots of its full subtrees.

    It keeps the roots of each `BLOCK_LEAVES` leaves as well: with those, and the leaves of one block, each of those can
    be proved.
    """

    def __init__(self) -> None:
        self._subtrees: list[tuple[int, bytes]] = []  # (height, root), each smaller than the one before
        self._blocks: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Grow the tree by one leaf."""
        height, node = 0, leaf_hash(leaf)
        while self._subtrees and self._subtrees[-1][0] == height:
            height, node = height + 1, _join(self._subtrees.pop()[1], node)
            if height == BLOCK_HEIGHT:
                self._blocks.append(node)
        self._subtrees.append((height, node))

    def root(self) -> str:
        """The tree's root in hexadecimal; of no leaves, the hash of nothing."""
        return _folded(self._subtrees).hex()

    def blocks(self) -> list[bytes]:
        """The root of each block of leaves, the last of them of what there is."""
        rest = [subtree for subtree in self._subtrees if subtree[0] < BLOCK_HEIGHT]
        return [*self._blocks, _folded(rest)] if rest else self._blocks


def leaf_hash(leaf: bytes) -> bytes:
    """What stands for a leaf in the tree."""
    return sha256(b"\x00" + leaf).digest()


def root_of(nodes: Sequence[bytes]) -> bytes:
    """The root over nodes of one height; of none, the hash of nothing."""
    if not nodes:
        return sha256().digest()
    level = list(nodes)
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def audit_path(nodes: Sequence[bytes], index: int) -> list[bytes]:
    """What has to be joined to the node at `index` to come to the root over them, the nearest first."""
    level, path = list(nodes), []
    while len(level) > 1:
        if (beside := index ^ 1) < len(level):
            path.append(level[beside])
        level, index = _level_above(level), index // 2
    return path


def root_by(leaf: bytes, index: int, leaves: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a leaf and its audit path lead to, as RFC 9162 has it in 2.1.3.2; None if they can't fit."""
    node, last = leaf_hash(leaf), leaves - 1
    if not 0 <= index <= last:
        return None
    for beside in path:
        if last == 0:
            return None
        if index % 2 or index == last:
            node = _join(beside, node)
            while index % 2 == 0 and index:
                index, last = index // 2, last // 2
        else:
            node = _join(node, beside)
        index, last = index // 2, last // 2
    return node if last == 0 else None


def _level_above(level: list[bytes]) -> list[bytes]:
    """A node without another beside it rises as it is: so the left subtree is always the largest full one."""
    above = [_join(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return [*above, level[-1]] if len(level) % 2 else above


def _folded(subtrees: list[tuple[int, bytes]]) -> bytes:
    if not subtrees:
        return sha256().digest()
    *larger, (_, root) = subtrees
    for _, node in reversed(larger):
        root = _join(node, root)
    return root


def _join(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
