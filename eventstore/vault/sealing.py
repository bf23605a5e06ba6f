"""Sealing: what an event says of a person becomes what only the holder of that person's key can read.

AES-256-GCM with a random nonce for each text, so a key is good for four thousand million of them. What is sealed is the
value as JSON; what it is bound to is all of the sealed form before the ciphertext: version, key, event and field.
"""

from __future__ import annotations

import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...schemas import (
    Event,
    InvalidData,
    Sealed,
    check,
    is_pseudonym,
    place_of,
    refuse_moved,
    sealed_in,
    with_personal,
)
from ..errors import KeyGone
from .keys import Key, Vault

NONCE_BYTES = 12
BETWEEN_PARTS = re.compile(r"[/,;=?&#]")


class Unreadable(ValueError):
    """A sealed text is not what was sealed with this key."""


def sealed_event(payload: bytes, event: Event, vault: Vault) -> bytes:
    """The event with its personal fields sealed and its data subject under a pseudonym; one without stays as it is.

    What is sealed already stays so. `event` is what is in the `payload`. Raises `InvalidData` where it names the person
    elsewhere as well or can't be sealed, `KeyGone` for a pseudonym whose key isn't here, or `VaultWriteFailed`.
    """
    if event.datasubject is None:
        return payload
    sealing = _Sealing(event, vault)
    data = with_personal(event, sealing.seal)
    attributes = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    if not is_pseudonym(event.datasubject):
        _refuse_names(attributes, data, event.datasubject)
    attributes["datasubject"] = msgspec.Raw(msgspec.json.encode(sealing.pseudonym))
    if data:
        attributes["data"] = msgspec.Raw(msgspec.json.encode(data))
    sealed = msgspec.json.encode(attributes)
    check(sealed)
    return sealed


def seal(key: Key, event_id: str, field: str, value: Any) -> str:
    """A value of an event's field, readable only with the key."""
    head = f"sealed:1:{key.id}:{place_of(event_id, field)}"
    nonce = os.urandom(NONCE_BYTES)
    content = AESGCM(key.secret).encrypt(nonce, msgspec.json.encode(value), head.encode())
    return f"{head}:{urlsafe_b64encode(nonce + content).decode().rstrip('=')}"


def opened(key: Key, sealed: Sealed) -> Any:
    """The value that was sealed. Raises `Unreadable`."""
    try:
        content = urlsafe_b64decode(sealed.content + "=" * (-len(sealed.content) % 4))
        value = AESGCM(key.secret).decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], sealed.head.encode())
        return msgspec.json.decode(value)
    except (ValueError, InvalidTag) as error:
        raise Unreadable(sealed.head) from error


class _Sealing:
    """One event's sealing. The key is taken when it is needed: an event that is sealed already needs none."""

    def __init__(self, event: Event, vault: Vault) -> None:
        assert event.datasubject is not None
        self._event = event
        self._vault = vault
        self._subject = event.datasubject
        self._key: Key | None = None

    @property
    def pseudonym(self) -> str:
        return self._subject if is_pseudonym(self._subject) else self.key.id

    @property
    def key(self) -> Key:
        if self._key is None:
            self._key = self._found()
        return self._key

    def seal(self, field: str, value: Any) -> Any:
        if sealed := sealed_in(value):
            refuse_moved(sealed, self._event.id, field)
            return value
        return seal(self.key, self._event.id, field, value)

    def _found(self) -> Key:
        if not is_pseudonym(self._subject):
            return self._vault.keys_for([self._subject])[self._subject]
        key = self._vault.key(self._subject)
        if key is None:
            raise KeyGone(self._subject, is_forgotten=self._vault.is_forgotten(self._subject))
        return key


def _refuse_names(attributes: dict[str, msgspec.Raw], data: dict[str, msgspec.Raw], subject: str) -> None:
    """What is in plain stays in the log for ever, and ids are in the subjects of the bus as well."""
    envelope = {name: raw for name, raw in attributes.items() if name not in ("datasubject", "data")}
    found = [name for name, raw in envelope.items() if subject in _parts(raw) or _holds(raw, subject)]
    found += [f"data.{field}" for field, raw in data.items() if _holds(raw, subject)]
    if found:
        raise InvalidData(
            "names the data subject in plain, and is kept for ever; say it with an id that tells nobody who that is",
            found[0],
        )


def _holds(raw: msgspec.Raw, subject: str) -> bool:
    """Whether this text is in it, however deep."""
    return msgspec.json.encode(subject) in msgspec.json.encode(msgspec.json.decode(raw))


def _parts(raw: msgspec.Raw) -> list[str]:
    """What an attribute is put together of, as a URI or `tracestate` is."""
    value = msgspec.json.decode(raw)
    return BETWEEN_PARTS.split(value) if isinstance(value, str) else []
