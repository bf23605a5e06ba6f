"""Personal data in events: which fields they are, the form in which they travel sealed, and the check that they do.

    sealed:1:<pseudonym>:<place>:<nonce and ciphertext>

The pseudonym names the key, and stands as `datasubject` in the envelope. The place is a hash of the event's id and the
field, to which the ciphertext is bound: moved elsewhere, it is known for what it is. Both are base64url, unpadded.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import msgspec

from .envelope import Event
from .errors import InvalidData, InvalidEvent
from .registry import all_types

SEAL_COMMAND = "cmd.vault.seal"  # takes an event in plain, and answers with the event as it may be published
PLACE_BYTES = 16

_SEALED = r"sealed:1:(ds-[a-z2-7]{26}):([A-Za-z0-9_-]{22}):([A-Za-z0-9_-]{39,})"
SEALED_IN_TEXT = re.compile(_SEALED)
_is_sealed = re.compile(_SEALED).fullmatch
_is_pseudonym = re.compile(r"ds-[a-z2-7]{26}").fullmatch

Shape = Literal["any", "list", "map"]
Change = Callable[[str, Any], Any]


class PlainText(InvalidData):
    """An event names a data subject, and `field` is not sealed as it has to be before it reaches the bus."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(
            f"{reason}; publish it by HTTP (`POST /events`), or have it sealed first: by `cmd.vault.seal` on the bus, "
            "or `POST /vault/seal`",
            field,
        )


class Sealed(NamedTuple):
    """A sealed text, in its parts. `head` is what is bound to the `content`."""

    head: str
    pseudonym: str
    place: str
    content: str


def sealed_in(value: Any) -> Sealed | None:
    """The parts of a value that is a sealed text, and of no other."""
    found = _is_sealed(value) if isinstance(value, str) else None
    return parts_of(found) if found else None


def parts_of(found: re.Match[str]) -> Sealed:
    """The parts of a sealed text that was found."""
    return Sealed(found[0].rpartition(":")[0], found[1], found[2], found[3])


def is_pseudonym(subject: str) -> bool:
    """Whether a `datasubject` is the pseudonym of a key, and not somebody's name."""
    return _is_pseudonym(subject) is not None


def place_of(event_id: str, field: str) -> str:
    """What a sealed text is bound to: the event, and the field of its data, as in `comment` or `metadata.team`."""
    digest = sha256(f"{event_id}\x1f{field}".encode()).digest()[:PLACE_BYTES]
    return urlsafe_b64encode(digest).decode().rstrip("=")


def with_personal(event: Event, change: Change) -> dict[str, msgspec.Raw]:
    """The event's data, with each value in it that is personal as `change` makes it of its field and the value.

    Of a list each item is one, of free-form facts each fact, and whatever the schema doesn't know is personal: a newer
    publisher may mean it so. Nulls and empty texts say nothing, and stay.
    """
    shapes = _shapes(event.type)
    data: dict[str, msgspec.Raw] = msgspec.json.decode(event.data, type=dict[str, msgspec.Raw])
    for name, raw in data.items():
        if (shape := shapes.get(name, "any")) is not None:
            value = msgspec.json.decode(raw)
            changed = _changed(shape, name, value, change)
            if changed != value:
                data[name] = msgspec.Raw(msgspec.json.encode(changed))
    return data


def refuse_plain(event: Event) -> None:
    """To be asked of whatever comes by the bus as a new fact: what is there in plain can never be forgotten.

    Raises `PlainText`.
    """
    if event.datasubject is None:
        return
    if not is_pseudonym(event.datasubject):
        raise PlainText("datasubject", "names a person in plain")
    try:
        with_personal(event, lambda field, value: _sealed_here(event.id, field, value))
    except msgspec.MsgspecError:
        raise PlainText("data", "is no object, so that nothing in it can be sealed") from None


def _sealed_here(event_id: str, field: str, value: Any) -> Any:
    sealed = sealed_in(value)
    if sealed is None:
        raise PlainText(f"data.{field}", "is personal, and in plain")
    refuse_moved(sealed, event_id, field)
    return value


def refuse_moved(sealed: Sealed, event_id: str, field: str) -> None:
    """Raises `InvalidEvent` where a sealed text is not in the event and the field for which it was sealed."""
    if sealed.place != place_of(event_id, field):
        raise InvalidEvent("was sealed for another event or field, and means nothing here", f"data.{field}")


def _changed(shape: Shape, name: str, value: Any, change: Change) -> Any:
    if shape == "list" and isinstance(value, list):
        return [_changed("any", f"{name}.{index}", item, change) for index, item in enumerate(value)]
    if shape == "map" and isinstance(value, dict):
        return {key: _changed("any", f"{name}.{key}", item, change) for key, item in value.items()}
    return value if value in (None, "") else change(name, value)


@cache
def _shapes(name: str) -> dict[str, Shape | None]:
    """The fields of a type, and how each is sealed; None for those that stay in plain."""
    struct = next((known.struct for known in all_types() if known.name == name), None)
    info = msgspec.inspect.type_info(struct) if struct else None
    fields = info.fields if isinstance(info, msgspec.inspect.StructType) else ()
    return {field.encode_name: _shape(field.type) for field in fields}


def _shape(kind: msgspec.inspect.Type, *, personal: bool = False) -> Shape | None:
    if isinstance(kind, msgspec.inspect.UnionType):
        (one,) = (member for member in kind.types if not isinstance(member, msgspec.inspect.NoneType))
        return _shape(one, personal=personal)
    if isinstance(kind, msgspec.inspect.Metadata):
        return _shape(kind.type, personal=personal or bool((kind.extra or {}).get("personal")))
    if not personal:
        return None
    if isinstance(kind, msgspec.inspect.ListType):
        return "list"
    return "map" if isinstance(kind, msgspec.inspect.DictType) else "any"
