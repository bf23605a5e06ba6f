"""Signing: who sealed a segment, by an Ed25519 key that the node keeps and an address of it that anybody can check.

Keys are NATS's nkeys: a seed `SN…` that stays with the node, and a public key `N…` that it is known by.
"""

from __future__ import annotations

import base64
import binascii
import os
from functools import lru_cache

import nkeys
from nacl.exceptions import BadSignatureError
from nacl.exceptions import ValueError as BadLength
from nacl.signing import VerifyKey

SIGNATURES_KEPT_MAX = 4_096

_SEED_BYTES = 32
_KEY_BYTES = 32
_SIGNATURE = b',"signature":"'


class Signer:
    """Signs as one node. Raises `ValueError` where the seed is none."""

    def __init__(self, seed: bytes) -> None:
        try:
            prefix, _ = nkeys.decode_seed(bytearray(seed))
            self._pair = nkeys.from_seed(bytearray(seed))
        except Exception as error:  # nkeys has no root of its own, and binascii and nacl raise theirs
            raise ValueError("this is no nkey's seed") from error
        if prefix != nkeys.PREFIX_BYTE_SERVER:
            raise ValueError("this is no node's seed: those begin with SN")
        self.public: str = bytes(self._pair.public_key).decode()

    def sign(self, message: bytes) -> str:
        """The signature in base64."""
        return base64.b64encode(self._pair.sign(message)).decode()


def new_seed() -> bytes:
    """A seed that nobody has."""
    return bytes(nkeys.encode_seed(os.urandom(_SEED_BYTES), nkeys.PREFIX_BYTE_SERVER))


def signed(line: bytes, signer: Signer) -> bytes:
    """A line of JSON, an object that names its `signer`, with its signature as the last member."""
    return line[:-1] + _SIGNATURE + signer.sign(line).encode() + b'"}'


@lru_cache(maxsize=SIGNATURES_KEPT_MAX)
def is_signed(line: bytes, public: str) -> bool:
    """Whether the line without its last member, the signature, was signed by this key."""
    unsigned, found, signature = line.rpartition(_SIGNATURE)
    if not found or not signature.endswith(b'"}'):
        return False
    try:
        raw = base64.b64decode(signature[:-2], validate=True)
        _key_of(public).verify(unsigned + b"}", raw)
    except (BadSignatureError, BadLength, binascii.Error, ValueError):
        return False
    return base64.b64encode(raw) == signature[:-2]  # the last digit has bits that nobody reads


def _key_of(public: str) -> VerifyKey:
    """The key in an nkey's text: a prefix, 32 bytes, and a checksum that the signature makes needless."""
    return VerifyKey(base64.b32decode(public + "=" * (-len(public) % 8))[1 : 1 + _KEY_BYTES])
