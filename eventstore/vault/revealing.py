"""Revealing: sealed texts in whatever somebody reads become what they say, for as long as their keys exist."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ...schemas import SEALED_IN_TEXT, Sealed, parts_of, place_of, sealed_in
from .keys import Vault
from .sealing import Unreadable, opened

FORGOTTEN = "[forgotten]"
NO_KEY = "[sealed]"
UNREADABLE = "[unreadable]"
MOVED = "[moved]"


def revealed(value: Any, vault: Vault) -> Any:
    """A value with every sealed text in it revealed, however deep.

    What can't be is told by a word: `[forgotten]`, `[sealed]` where this vault never had the key, or `[unreadable]`
    where it is not what was sealed.
    """
    if isinstance(value, str):
        sealed = sealed_in(value)
        return _open(sealed, vault) if sealed else revealed_text(value, vault)
    if isinstance(value, dict):
        return {name: revealed(part, vault) for name, part in value.items()}
    if isinstance(value, list):
        return [revealed(part, vault) for part in value]
    return value


def revealed_text(text: str, vault: Vault) -> str:
    """A text, with every sealed one in it revealed where it stands."""
    if "sealed:1:" not in text:
        return text
    return SEALED_IN_TEXT.sub(lambda found: _as_text(_open(parts_of(found), vault)), text)


def revealed_json(text: str, vault: Vault) -> str:
    """Like `revealed_text`, of JSON: what is revealed is escaped, so that it is JSON still."""

    def escaped(found: re.Match[str]) -> str:
        return msgspec.json.encode(_as_text(_open(parts_of(found), vault))).decode()[1:-1]

    return SEALED_IN_TEXT.sub(escaped, text)


def revealed_event(payload: bytes, vault: Vault) -> dict[str, Any]:
    """An event, or a line of the log, as an object with its data revealed, and its data subject by name.

    A sealed text that was put there from another event or field is `[moved]`.
    """
    event: dict[str, Any] = msgspec.json.decode(payload)
    if isinstance(data := event.get("data"), dict):
        event["data"] = {name: _in_event(str(event.get("id")), name, part, vault) for name, part in data.items()}
    key = vault.key(str(event.get("datasubject")))
    return event | ({"datasubject": key.subject} if key else {})


def _in_event(event_id: str, field: str, value: Any, vault: Vault) -> Any:
    if isinstance(value, dict):
        return {name: _in_event(event_id, f"{field}.{name}", part, vault) for name, part in value.items()}
    if isinstance(value, list):
        return [_in_event(event_id, f"{field}.{index}", part, vault) for index, part in enumerate(value)]
    sealed = sealed_in(value)
    if sealed is None:
        return value
    return _open(sealed, vault) if sealed.place == place_of(event_id, field) else MOVED


def _open(sealed: Sealed, vault: Vault) -> Any:
    key = vault.key(sealed.pseudonym)
    if key is None:
        return FORGOTTEN if vault.is_forgotten(sealed.pseudonym) else NO_KEY
    try:
        return opened(key, sealed)
    except Unreadable:
        return UNREADABLE


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
