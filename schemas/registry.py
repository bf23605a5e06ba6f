"""The registry: every event type's shape, and how an older shape becomes the newest."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import lru_cache
from hashlib import sha256
from inspect import getsource
from typing import Any, NamedTuple, TypeVar

import msgspec

from .errors import InvalidData, UnknownEventType


class EventData(msgspec.Struct, frozen=True, omit_defaults=True):
    """The payload of one type of event. Fields that a publisher may not know are optional: absent, not guessed."""


class EventType(NamedTuple):
    """One registered type: its name on the wire and the struct of its payload."""

    name: str
    struct: type[EventData]
    decoder: msgspec.json.Decoder[EventData]


Data = TypeVar("Data", bound=EventData)
Upcaster = Callable[[Any], EventData]

_types: dict[str, EventType] = {}
_names: dict[type[EventData], str] = {}
_upcasters: dict[type[EventData], Upcaster] = {}


def event_type(name: str) -> Callable[[type[Data]], type[Data]]:
    """Register a struct as the shape of the event type `name`."""

    def register(struct: type[Data]) -> type[Data]:
        if name in _types:
            raise ValueError(f"event type {name!r} is registered twice")
        _types[name] = EventType(name, struct, msgspec.json.Decoder(struct))
        _names[struct] = name
        return struct

    return register


def upcaster(older: type[EventData]) -> Callable[[Upcaster], Upcaster]:
    """Register how `older` becomes the next version of its shape; history is never edited."""

    def register(upcast: Upcaster) -> Upcaster:
        if older in _upcasters:
            raise ValueError(f"{older.__name__} has two upcasters")
        _upcasters[older] = upcast
        return upcast

    return register


def decode_data(name: str, data: bytes | msgspec.Raw) -> EventData:
    """The payload of an event of type `name`, in the newest version of its shape.

    Raises `UnknownEventType`, or `InvalidData` with the path of the field that is wrong.
    """
    known = _types.get(name)
    if known is None:
        raise UnknownEventType(name, next(iter(get_close_matches(name, _types, n=1)), None))
    try:
        payload = known.decoder.decode(data)
    except msgspec.ValidationError as error:
        raise InvalidData(*reason_and_field(error, "data")) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidData(str(error), "data") from None
    while upcast := _upcasters.get(type(payload)):
        payload = upcast(payload)
    return payload


def type_of(data: EventData) -> str:
    """The wire name of a payload's type."""
    return _names[type(data)]


def all_types() -> list[EventType]:
    """Every registered type, old versions included, by name."""
    return sorted(_types.values())


def current_types() -> list[EventType]:
    """The newest version of every type: what the SQL relations are made from."""
    return [known for known in all_types() if known.struct not in _upcasters]


def is_superseded(name: str) -> bool:
    """Whether events of this type are upcast when read."""
    known = _types.get(name)
    return known is not None and known.struct in _upcasters


def reading_fingerprint() -> str:
    """A hash of all that decides how an event is read: what each type's schema allows, and how older ones are upcast.

    Whatever is derived from events is out of date when it changes. What is said of a field in words doesn't count.
    """
    return _fingerprint(tuple(all_types()), tuple(_upcasters.items()))


@lru_cache(maxsize=8)
def _fingerprint(types: tuple[EventType, ...], upcasters: tuple[tuple[type[EventData], Upcaster], ...]) -> str:
    shapes = [(known.name, _without_words(msgspec.json.schema(known.struct))) for known in types]
    older = sorted((struct.__name__, getsource(upcast)) for struct, upcast in upcasters)
    return sha256(msgspec.json.encode((shapes, older), order="deterministic")).hexdigest()


def _without_words(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_words(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    words = {name for name in ("description", "title") if isinstance(schema.get(name), str)}
    return {name: _without_words(part) for name, part in schema.items() if name not in words}


def reason_and_field(error: msgspec.ValidationError, root: str = "") -> tuple[str, str]:
    """What msgspec found wrong, and where: its `$.a.b` becomes `a.b`, beneath `root`."""
    text = str(error)
    reason, _, path = text.partition(" - at `")
    field = path.rstrip("`").removeprefix("$").lstrip(".")
    if missing := re.search(r"missing required field `(.+?)`", reason):
        field = f"{field}.{missing[1]}".lstrip(".")
    return reason, ".".join(part for part in (root, field) if part)
