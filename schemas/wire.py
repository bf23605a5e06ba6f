"""From bytes to events and back, and every check that an event must pass at an edge."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import msgspec

from .envelope import Event
from .errors import InvalidData, InvalidEvent, MalformedEvent
from .registry import EventData, all_types, reason_and_field

# The log, and the API in front of it, write these attributes themselves, so an event may not bring them.
RESERVED = frozenset({"n", "seq", "recordedtime", "undecodable", "origin"})
DEPTH_MAX = 64

_CHAIN = b'"chain"'

# Of what msgspec takes for a time, what everybody's RFC 3339 reader takes for the same one.
_YEAR = "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"  # any but 0
TIME_PATTERN = _YEAR + r"-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]+)?(Z|[+-]00:00)"

_is_time = re.compile(TIME_PATTERN).fullmatch
_decoder = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()


def encode(event: Event) -> bytes:
    """The event as it travels: one line of JSON, without the newline."""
    return _encoder.encode(event)


def decode(payload: bytes) -> Event:
    """The envelope in `payload`; the payload's data stays as it is. Raises `MalformedEvent`."""
    try:
        event = _decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise MalformedEvent(*reason_and_field(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(str(error)) from None
    if event.time.tzinfo is None or event.time.utcoffset() != timedelta(0):
        raise MalformedEvent("expected UTC, as in `2026-11-20T13:53:04.530453Z`", "time")
    return event


def check(payload: bytes) -> tuple[Event, EventData]:
    """The event in `payload` and its typed data, if nothing is wrong with either.

    Raises `MalformedEvent`, `UnknownEventType` or `InvalidData`. With the latter two, every reader still reads the
    same envelope in `payload`, so that the log can hold it as it is, for a schema to come.
    """
    event = decode(payload)
    try:
        data = event.payload()
    except InvalidEvent:
        _refuse_what_readers_disagree_on(payload)
        raise
    is_canonical = payload == encode(event) and bytes(event.data) == _encoder.encode(data)
    if not is_canonical or payload.count(b"{") + payload.count(b"[") > DEPTH_MAX:
        _refuse_what_readers_disagree_on(payload)
    return event, data


def check_strictly(payload: bytes) -> tuple[Event, EventData]:
    """Like `check`, and refuses data fields that the schema doesn't name: for people, who make typing mistakes.

    A program may be newer than this node, so the bus and the log let unknown fields pass.
    """
    event, data = check(payload)
    struct = next(known.struct for known in all_types() if known.name == event.type)
    unknown = msgspec.json.decode(event.data).keys() - set(struct.__struct_fields__)
    if unknown:
        raise InvalidData(
            f"not a field of {event.type}; it has {', '.join(struct.__struct_fields__)}",
            f"data.{min(unknown)}",
        )
    return event, data


def refuse_chained(payload: bytes) -> None:
    """To be asked of whatever comes as a new fact: the log chains its lines itself. Raises `MalformedEvent`.

    What the log had before it did may have such an attribute, and stays valid.
    """
    if _CHAIN not in payload:
        return
    try:
        chain = msgspec.json.decode(payload, type=_Chained).chain
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return  # no event at all, which others tell
    if chain is not msgspec.UNSET:
        raise MalformedEvent("this attribute is the log's own", "chain")


class _Chained(msgspec.Struct):
    chain: object = msgspec.UNSET


def _refuse_what_readers_disagree_on(payload: bytes) -> None:
    """Refuse valid JSON that two readers may read in two ways: what isn't canonical is looked at twice."""
    if b"\n" in payload or b"\r" in payload:
        raise MalformedEvent("an event is one line of JSON; this one has line breaks between its parts")
    if not (payload.startswith(b"{") and payload.endswith(b"}")):
        raise MalformedEvent("an event begins with `{` and ends with `}`; this one has white space around it")
    attributes = _parsed_pedantically(payload)
    if reserved := RESERVED & attributes.keys():
        raise MalformedEvent("this attribute is the log's own", min(reserved))
    if "data_base64" in attributes:
        raise MalformedEvent("the payload must be JSON, in `data`", "data_base64")
    if not _is_time(str(attributes["time"])):
        raise MalformedEvent("expected `T` and `Z`, as in `2026-11-20T13:53:04.530453Z`", "time")
    if _depth(attributes, DEPTH_MAX) > DEPTH_MAX:
        raise MalformedEvent(f"nested more than {DEPTH_MAX} deep; flatten it, or publish it as a string")


def _parsed_pedantically(payload: bytes) -> dict[str, object]:
    try:
        text = payload.decode()  # json would let halves of surrogate pairs pass
        found: dict[str, object] = json.loads(text, object_pairs_hook=_without_twins, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise MalformedEvent(str(error)) from None
    return found


def _without_twins(items: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(items)
    if len(found) < len(items):
        names = [name for name, _ in items]
        twin = next(name for name in names if names.count(name) > 1)
        raise MalformedEvent("named twice in one object; readers disagree on which one counts", twin)
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise MalformedEvent(f"{digits} is beyond what a number can be")
    return number


def _depth(value: object, left: int) -> int:
    """How deep `value` is nested; no deeper than just beyond `left` is looked."""
    if left < 0 or not isinstance(value, dict | list):
        return 0
    inside = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(one, left - 1) for one in inside), default=0)
