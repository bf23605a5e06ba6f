"""Proofs: that a line is the log's can be shown to somebody who has neither the log nor this program.

A proof holds the line's bytes, the way from their hash to the Merkle root of their segment (RFC 9162), and the
manifest's lines from that segment's on, each with the hash of the one before and signed by who sealed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import UNSET

from .errors import NotYetSealed, ProofRefused, UnknownLine
from .line import number_in
from .log import Log
from .manifest import Entry, entry_in, refuse_twins
from .merkle import root_by
from .signing import is_signed

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That `line` is the line `n` of a log, whose manifest's newest line has the SHA-256 `head`."""

    format: Literal["rookery.proof.v1"] = "rookery.proof.v1"
    origin: str
    n: int
    line: str
    audit_path: tuple[Digest, ...]
    manifest: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    head: Digest


class Proved(NamedTuple):
    """What a proof has shown: the line belongs to the log that ends in the manifest's line of this hash.

    `signers` are the public keys by which lines of that manifest are signed, from the segment's own on.
    """

    origin: str
    n: int
    head: str
    segment: Entry
    signers: tuple[str, ...]


def prove(log: Log, origin: str, n: int) -> Proof:
    """The proof of a line. Raises `UnknownLine`, or `NotYetSealed`: then there will be one later.

    What it needs of the segment is one block of lines, and what was kept of the others when they were sealed. The
    manifest was checked when it was read.
    """
    record = log.get(origin, n)
    if record is None:
        raise UnknownLine(origin, n, log.vector().get(origin, 0))
    found = log.sealed_with(origin, n)
    if found is None:
        raise NotYetSealed(origin, n)
    part, manifest = found
    proof = Proof(
        origin=origin,
        n=n,
        line=record.line.decode(),
        audit_path=tuple(node.hex() for node in part.audit_path(n)),
        manifest=tuple(line.decode() for line in manifest),
        head=sha256(manifest[-1]).hexdigest(),
    )
    _check_line(proof, part.entry)
    return proof


def decode(data: bytes) -> Proof:
    """The proof in these bytes. Raises `ProofRefused`."""
    try:
        proof = msgspec.json.decode(data, type=Proof)
        refuse_twins(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProofRefused(f"it has not the form of one ({error})") from None
    return proof


def check(proof: Proof, *, head: str | None = None, signer: str | None = None) -> Proved:
    """Hold a proof against itself, and against what is known from elsewhere. Raises `ProofRefused`.

    `head` is the SHA-256 of a manifest line that is trusted, and `signer` a public key that is: of the segment's own
    line, or of a later one.
    """
    entries = [_entry(line) for line in proof.manifest]
    hashes = [sha256(line.encode()).hexdigest() for line in proof.manifest]
    _check_line(proof, entries[0])
    _check_chain(entries, hashes)
    signers = _checked_signers(proof.manifest, entries)
    if hashes[-1] != proof.head:
        raise ProofRefused("its manifest does not end in the line that it names as the head")
    if head is not None and head not in hashes:
        raise ProofRefused(f"its manifest does not come to the line {head} that is trusted")
    if signer is not None and signer not in signers:
        raise ProofRefused(f"no line of its manifest is signed by {signer}")
    return Proved(proof.origin, proof.n, proof.head, entries[0], signers)


def _check_line(proof: Proof, segment: Entry) -> None:
    line = proof.line.encode()
    if not segment.first <= proof.n <= segment.last or segment.events != segment.last - segment.first + 1:
        raise ProofRefused(f"the segment that it names does not hold event {proof.n}")
    if _number(line) != proof.n:
        raise ProofRefused(f"its line is not that of event {proof.n}")
    path = [bytes.fromhex(node) for node in proof.audit_path]
    root = root_by(line, proof.n - segment.first, segment.events, path)
    if root is None or root.hex() != segment.merkle_root:
        raise ProofRefused("its line does not lead to the Merkle root of its segment")


def _check_chain(entries: Sequence[Entry], hashes: Sequence[str]) -> None:
    for before, digest, entry in zip(entries, hashes, entries[1:], strict=False):
        if entry.previous != digest or entry.first != before.last + 1:
            raise ProofRefused(f"its manifest's line of {entry.segment} does not follow from the one before")


def _checked_signers(lines: Sequence[str], entries: Sequence[Entry]) -> tuple[str, ...]:
    signers: dict[str, None] = {}
    for line, entry in zip(lines, entries, strict=True):
        if isinstance(entry.signer, str):
            if not is_signed(line.encode(), entry.signer):
                raise ProofRefused(
                    f"its manifest's line of {entry.segment} is not signed by {entry.signer}, as it says"
                )
            signers[entry.signer] = None
        elif signers or entry.signature is not UNSET:
            raise ProofRefused(f"its manifest's line of {entry.segment} has lost its signature")
    return tuple(signers)


def _number(line: bytes) -> int:
    try:
        return number_in(line)
    except ValueError:
        return 0


def _entry(line: str) -> Entry:
    try:
        return entry_in(line)
    except msgspec.MsgspecError as error:
        raise ProofRefused(f"a line of its manifest is not a segment's ({error})") from None
