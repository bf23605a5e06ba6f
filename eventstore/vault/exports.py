"""Exports: keys on their way to another node, or kept apart as a backup, under a passphrase of the operator's.

    {"format":"rookery.vault.v1","salt":"…","nonce":"…","keys":"<ciphertext>"}

scrypt makes a key of the passphrase, and AES-256-GCM encrypts with it.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Meta

from ..errors import InvalidExport
from .keys import SECRET_BYTES, Key
from .sealing import NONCE_BYTES

FORMAT: Literal["rookery.vault.v1"] = "rookery.vault.v1"
SALT_BYTES = 16
PASSPHRASE_CHARACTERS_MIN = 12
EXPORT_BYTES_MAX = 64 * 1024 * 1024

# 64 MiB and a quarter of a second for each guess at a passphrase, as OWASP has it.
_COST, _BLOCK, _PARALLEL = 2**16, 8, 2

_Pseudonym = Annotated[str, Meta(pattern=r"^ds-[a-z2-7]{26}\Z")]


class _Export(msgspec.Struct):
    format: Literal["rookery.vault.v1"]
    salt: Annotated[bytes, Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]
    nonce: Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
    keys: bytes


class _Exported(Key, frozen=True):
    id: _Pseudonym
    secret: Annotated[bytes, Meta(min_length=SECRET_BYTES, max_length=SECRET_BYTES)]


def exported(keys: Collection[Key], passphrase: str) -> bytes:
    """The keys, readable with the passphrase alone. Takes a quarter of a second. Raises `InvalidExport`."""
    if len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
        raise InvalidExport(f"a passphrase has at least {PASSPHRASE_CHARACTERS_MIN} characters")
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    content = _cipher(passphrase, salt).encrypt(nonce, msgspec.json.encode(list(keys)), FORMAT.encode())
    return msgspec.json.encode(_Export(FORMAT, salt, nonce, content))


def imported(export: bytes, passphrase: str) -> list[Key]:
    """The keys in an export. Raises `InvalidExport`."""
    try:
        found = msgspec.json.decode(export, type=_Export)
        keys = _cipher(passphrase, found.salt).decrypt(found.nonce, found.keys, FORMAT.encode())
        rows = msgspec.json.decode(keys, type=list[_Exported])
        return [Key(row.id, row.secret, row.created, row.subject) for row in rows]
    except InvalidTag:
        raise InvalidExport("the passphrase is not the one that they are under, or bytes were changed") from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidExport(f"this is no export of a vault: {error}") from None


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    scrypt = Scrypt(salt=salt, length=SECRET_BYTES, n=_COST, r=_BLOCK, p=_PARALLEL)
    return AESGCM(scrypt.derive(passphrase.encode()))
