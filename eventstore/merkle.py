"""The Merkle tree of RFC 9162 over a segment's lines: one hash that any line can later be proved against."""

from __future__ import annotations

from hashlib import sha256


class MerkleTree:
    """A tree that is grown leaf by leaf and keeps only the roots of its full subtrees."""

    def __init__(self) -> None:
        self._subtrees: list[tuple[int, bytes]] = []  # (height, root), each smaller than the one before

    def add(self, leaf: bytes) -> None:
        """Grow the tree by one leaf."""
        height, node = 0, sha256(b"\x00" + leaf).digest()
        while self._subtrees and self._subtrees[-1][0] == height:
            height, node = height + 1, _join(self._subtrees.pop()[1], node)
        self._subtrees.append((height, node))

    def root(self) -> str:
        """The tree's root in hexadecimal; of no leaves, the hash of nothing."""
        if not self._subtrees:
            return sha256().hexdigest()
        *larger, (_, root) = self._subtrees
        for _, node in reversed(larger):
            root = _join(node, root)
        return root.hex()


def _join(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
