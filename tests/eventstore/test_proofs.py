"""Proofs: every sealed line can be proved, and whatever is changed in a proof, it proves nothing any more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rookery.eventstore import (
    Disk,
    Log,
    LogDamaged,
    NotYetSealed,
    Proof,
    ProofRefused,
    Signer,
    UnknownLine,
    frames,
    parts,
)
from rookery.eventstore.merkle import BLOCK_LEAVES, MerkleTree, audit_path, leaf_hash, root_by, root_of
from rookery.eventstore.proofs import check, decode, prove
from rookery.eventstore.signing import new_seed
from rookery.tests.eventstore.deliveries import many, mixed

SIGNER, OTHER = Signer(new_seed()), Signer(new_seed())


def path_in(leaves: list[bytes], index: int) -> list[bytes]:
    """The audit path through blocks, as a sealed segment makes it."""
    tree = MerkleTree()
    for leaf in leaves:
        tree.add(leaf)
    block, within = divmod(index, BLOCK_LEAVES)
    hashes = [leaf_hash(leaf) for leaf in leaves[block * BLOCK_LEAVES : (block + 1) * BLOCK_LEAVES]]
    assert root_of(tree.blocks()).hex() == tree.root()
    return audit_path(hashes, within) + audit_path(tree.blocks(), block)


@given(st.data())
def test_any_leaf_of_any_tree_leads_to_its_root_and_no_other_does(data: st.DataObject) -> None:
    count = data.draw(st.one_of(st.integers(1, 40), st.integers(1, 5 * BLOCK_LEAVES)))
    index = data.draw(st.integers(0, count - 1))
    leaves = [b"%d" % number for number in range(count)]
    path, root = path_in(leaves, index), root_of([leaf_hash(leaf) for leaf in leaves])
    assert path == audit_path([leaf_hash(leaf) for leaf in leaves], index)
    assert root_by(leaves[index], index, count, path) == root
    assert root_by(b"x", index, count, path) != root
    other = data.draw(st.integers(-1, count))
    assert (root_by(leaves[index], other, count, path) == root) == (other == index)
    assert root_by(leaves[index], index, count, [*path, root]) != root
    if path:
        assert root_by(leaves[index], index, count, path[:-1]) != root


@given(n=st.integers(1, 40))
def test_every_sealed_line_is_proved_from_its_bytes_alone(filled: Log, n: int) -> None:
    proof = decode(msgspec.json.encode(prove(filled, "here", n)))
    record = filled.get("here", n)
    assert record
    assert proof.line.encode() == record.line
    assert check(proof).head == check(proof, head=proof.head).head == check(prove(filled, "here", 1)).head


@pytest.fixture(scope="module")
def signed_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    with Log.open(tmp_path_factory.mktemp("signed"), segment_events_max=8, signer=SIGNER) as log:
        log.append("here", mixed(60))
        log.seal_full_segments()
        yield log


@given(data=st.data())
def test_any_single_changed_byte_makes_a_proof_fail(signed_log: Log, data: st.DataObject) -> None:
    proof = msgspec.json.encode(prove(signed_log, "here", data.draw(st.integers(1, 40))))
    named = proof.index(b'"here"'), proof.index(b'"here"') + len('"here"')
    at = data.draw(st.integers(0, len(proof) - 1).filter(lambda at: not named[0] <= at < named[1]))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != proof[at]))
    with pytest.raises(ProofRefused):
        check(decode(proof[:at] + bytes([byte]) + proof[at + 1 :]))


def test_a_chain_that_ends_early_is_refused_by_whoever_knows_a_later_head(filled: Log) -> None:
    proof = prove(filled, "here", 3)
    known = proof.head
    shorter = msgspec.structs.replace(proof, manifest=proof.manifest[:-1])
    with pytest.raises(ProofRefused, match="does not end in the line that it names"):
        check(shorter)
    named = msgspec.structs.replace(shorter, head=head_of(shorter))
    assert check(named).n == 3  # as the log once was
    with pytest.raises(ProofRefused, match="does not come to the line"):
        check(named, head=known)


def test_only_who_signed_is_the_signer(signed_log: Log, filled: Log) -> None:
    proof = prove(signed_log, "here", 3)
    assert check(proof, signer=SIGNER.public).signers == (SIGNER.public,)
    with pytest.raises(ProofRefused, match="is signed by"):
        check(proof, signer=OTHER.public)
    with pytest.raises(ProofRefused, match="is signed by"):
        check(prove(filled, "here", 3), signer=SIGNER.public)
    for forged in (
        proof.manifest[0].replace(SIGNER.public, OTHER.public),
        proof.manifest[0].partition(',"signer"')[0] + "}",
        proof.manifest[0].partition(',"signature"')[0] + "}",
    ):
        named = msgspec.structs.replace(proof, manifest=(forged,))
        with pytest.raises(ProofRefused):
            check(msgspec.structs.replace(named, head=head_of(named)), signer=SIGNER.public)


def test_what_says_something_twice_proves_nothing(filled: Log, tmp_path: Path) -> None:
    proof = prove(filled, "here", 3)
    with pytest.raises(ProofRefused, match="`line` is named twice"):
        decode(b'{"line":"forged",' + msgspec.json.encode(proof)[1:])
    last = f'{{"segment":"another",{proof.manifest[-1][1:]}'
    forged = msgspec.structs.replace(proof, manifest=(*proof.manifest[:-1], last))
    with pytest.raises(ProofRefused, match="`segment` is named twice"):
        check(msgspec.structs.replace(forged, head=head_of(forged)))
    path = shutil.copytree(filled.folder, tmp_path / "log") / "here" / "manifest.ndjson"
    *before, _ = path.read_text().splitlines()
    path.write_text("".join(f"{line}\n" for line in [*before, last]))
    with pytest.raises(LogDamaged, match="`segment` is named twice"):
        Log.open(tmp_path / "log")


def head_of(proof: Proof) -> str:
    return sha256(proof.manifest[-1].encode()).hexdigest()


def test_what_is_not_sealed_or_not_there_is_told_apart(filled: Log) -> None:
    last = filled.vector()["here"]
    with pytest.raises(NotYetSealed, match="once its segment is sealed"):
        prove(filled, "here", last)
    for origin, n in (("here", last + 1), ("here", 0), ("there", 1)):
        with pytest.raises(UnknownLine):
            prove(filled, origin, n)


BLOCKS = "00000000000000000001.merkle"


@pytest.mark.parametrize("kept", [None, b"", bytes(31), bytes(32), bytes(96)])
def test_the_kept_blocks_are_made_anew_when_they_are_missing_or_not_these(tmp_path: Path, kept: bytes | None) -> None:
    with Log.open(tmp_path, segment_events_max=2 * BLOCK_LEAVES + 5) as log:
        log.append("here", many(3 * BLOCK_LEAVES))
        log.seal_full_segments()
        path = tmp_path / "here" / BLOCKS
        whole = path.read_bytes()
        assert len(whole) == 3 * 32
        path.write_bytes(kept) if kept is not None else path.unlink()
        before = kept if kept is None else path.read_bytes()
        with Log.open(tmp_path, writable=False) as reader:
            assert prove(reader, "here", 300) == prove(reader, "here", 300)
            assert (path.read_bytes() if path.exists() else None) == before  # a reader leaves the folder as it is
        for n in (1, 256, 257, 512, 513, 517):
            assert check(prove(log, "here", n)).n == n
        assert path.read_bytes() == whole


def test_a_line_that_was_changed_on_disk_is_not_proved(tmp_path: Path) -> None:
    with Log.open(tmp_path, segment_events_max=8) as log:
        log.append("here", mixed(10))
        log.seal_full_segments()
        sealed = tmp_path / "here" / "00000000000000000001.ndjson.zst"
        held = bytearray(sealed.read_bytes())
        held[60] ^= 1
        sealed.write_bytes(held)
        with pytest.raises(LogDamaged):
            prove(log, "here", 3)


@pytest.mark.parametrize("frame_bytes", [1, 900, 1_000_000])
def test_a_line_is_found_in_frames_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame_bytes: int
) -> None:
    for module in (frames, parts):
        monkeypatch.setattr(module, "FRAME_EVENTS_MAX", 4)
    monkeypatch.setattr(frames, "FRAME_SIZE_BYTES_MIN", frame_bytes)
    with Log.open(tmp_path, segment_events_max=BLOCK_LEAVES + 30) as log:
        log.append("here", many(BLOCK_LEAVES + 40))
        log.seal_full_segments()
        for n in range(1, BLOCK_LEAVES + 31, 3):
            record = log.get("here", n)
            assert record
            assert (record.n, check(prove(log, "here", n)).n) == (n, n)


def test_a_sealed_file_that_was_written_anew_with_another_line_proves_nothing(tmp_path: Path) -> None:
    with Log.open(tmp_path, segment_events_max=8) as log:
        log.append("here", many(10))
        log.seal_full_segments()
        sealed = tmp_path / "here" / "00000000000000000001.ndjson.zst"
        (lines,) = frames.FramedFile(sealed, Disk()).lines(first=1)
        sealed.write_bytes(b"".join(frames.compress(line.replace(b"run-3", b"run-x") for line in lines)))
        record = log.get("here", 3)
        assert record
        assert b"run-x" in record.line
        with pytest.raises(ProofRefused, match="Merkle root"):
            prove(log, "here", 3)
