"""The Merkle tree, against RFC 9162's own words and known vectors."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rookery.eventstore.merkle import MerkleTree


def as_in_rfc_9162(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + as_in_rfc_9162(leaves[:k]) + as_in_rfc_9162(leaves[k:])).digest()


def root_of(leaves: list[bytes]) -> str:
    tree = MerkleTree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_the_root_is_the_one_that_rfc_9162_defines(leaves: list[bytes]) -> None:
    assert root_of(leaves) == as_in_rfc_9162(leaves).hex()


# The test vectors of the Certificate Transparency reference implementation.
@pytest.mark.parametrize(
    ("count", "root"),
    [
        (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ],
)
def test_known_trees_have_their_known_roots(count: int, root: str) -> None:
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    assert root_of([bytes.fromhex(text) for text in inputs[:count]]) == root
