"""Whether a type still keeps the promise of its published schema.

Events stay in the log for ever, and programs are written against what was published. So a type may gain optional
fields and allow more values than it did; whatever else changes needs a new version of the type.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .errors import Breach
from .json_schema import Schema


def breaches(name: str, published: Schema, current: Schema) -> list[Breach]:
    """Every way in which the type's current schema breaks the promise of the published one."""
    return [Breach(name, field, reason) for field, reason in _Comparison(published, current).differences()]


Difference = tuple[str, str]

_REMARKS = frozenset(
    {"$schema", "$id", "$defs", "$ref", "title", "description", "examples", "deprecated", "$comment", "x-personal"}
)
_LIMITS = {
    "minimum": (-1, "the smallest value"),
    "minLength": (-1, "the shortest length"),
    "minItems": (-1, "the fewest items"),
    "maximum": (1, "the largest value"),
    "maxLength": (1, "the longest length"),
    "maxItems": (1, "the most items"),
}
# Looked at each in its own way; a keyword that is none of these must stay as it is.
_INSIDE = {"properties", "items", "additionalProperties", "anyOf"}
_COMPARED = frozenset({"type", "enum", "default", "required", *_LIMITS, *_INSIDE})


class _Comparison:
    """Two schemas side by side, each with the definitions that it refers to."""

    def __init__(self, published: Schema, current: Schema) -> None:
        self._published = published
        self._current = current
        self._seen: set[tuple[str, str]] = set()

    def differences(self) -> Iterator[Difference]:
        return self._between(self._published, self._current, "")

    def _between(self, old: Any, new: Any, field: str) -> Iterator[Difference]:
        if old is False or new is True:
            return
        if new is False:
            yield field, "is not allowed any more"
            return
        old, new = _whole(old), _whole(new)
        if self._compared_already(old, new):
            return
        old, new = _resolved(old, self._published), _resolved(new, self._current)
        yield from _kinds(old, new, field)
        yield from _words(old, new, field)
        yield from _limits(old, new, field)
        yield from _everything_else(old, new, field)
        yield from self._inside(old, new, field)

    def _compared_already(self, old: Schema, new: Schema) -> bool:
        """Whether these two definitions have been met: a struct may hold others of its own kind."""
        pair = (old.get("$ref", ""), new.get("$ref", ""))
        known = all(pair) and pair in self._seen
        self._seen.add(pair)
        return known

    def _inside(self, old: Schema, new: Schema, field: str) -> Iterator[Difference]:
        yield from _required(old, new, field)
        properties = new.get("properties", {})
        for name, part in old.get("properties", {}).items():
            if name in properties:
                yield from self._between(part, properties[name], _beneath(field, name))
            elif part is not False:
                yield _beneath(field, name), "is gone"
        for name in properties.keys() - old.get("properties", {}).keys():
            if properties[name] is False:
                yield _beneath(field, name), "is not allowed any more"
        for inside in ("items", "additionalProperties"):
            if inside in old or inside in new:
                yield from self._between(old.get(inside, {}), new.get(inside, {}), f"{field}[]")
        yield from self._choices(old.get("anyOf", []), new.get("anyOf", []), field)

    def _choices(self, old: list[Any], new: list[Any], field: str) -> Iterator[Difference]:
        if len(old) != len(new):
            yield field, f"was one of {len(old) or 1}, is one of {len(new) or 1} now"
            return
        for before, now in zip(old, new, strict=True):
            yield from self._between(before, now, field)


def _kinds(old: Schema, new: Schema, field: str) -> Iterator[Difference]:
    before, now = _types(old), _types(new)
    if before and not now and "enum" not in new:
        yield field, f"was {_listed(before)}, is anything now"
    elif now and not before:
        yield field, f"is only {_listed(now)} now"
    elif gone := before - now:
        yield field, f"was {_listed(gone)}, is {_listed(now)} now"


def _words(old: Schema, new: Schema, field: str) -> Iterator[Difference]:
    if "enum" not in new:
        return
    if "enum" not in old:
        yield field, "allows only some words now"
    elif gone := [word for word in old["enum"] if word not in new["enum"]]:
        yield field, f"{', '.join(repr(word) for word in gone)} is not allowed any more"


def _limits(old: Schema, new: Schema, field: str) -> Iterator[Difference]:
    for keyword, (sign, what) in _LIMITS.items():
        if keyword in new and (keyword not in old or sign * new[keyword] < sign * old[keyword]):
            yield field, f"{what} was {old.get(keyword, 'not limited')}, is {new[keyword]} now"


def _required(old: Schema, new: Schema, field: str) -> Iterator[Difference]:
    before, now = set(old.get("required", [])), set(new.get("required", []))
    for name in sorted(now - before):
        yield _beneath(field, name), "is required now, and events without it exist"
    for name in sorted(before - now):
        yield _beneath(field, name), "is not required any more, and readers count on it"


def _everything_else(old: Schema, new: Schema, field: str) -> Iterator[Difference]:
    if old.get("default") != new.get("default"):
        yield field, f"meant {old.get('default')!r} where it was absent, means {new.get('default')!r} now"
    for keyword in sorted((old.keys() | new.keys()) - _COMPARED - _REMARKS):
        if old.get(keyword, ...) != new.get(keyword, ...):
            yield field, f"{keyword} was {old.get(keyword, 'absent')}, is {new.get(keyword, 'absent')} now"


def _whole(schema: Any) -> Schema:
    """`true` is the schema of everything, as `{}` is."""
    return {} if schema is True else schema


def _resolved(schema: Schema, document: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    definition: Schema = document["$defs"][reference.rpartition("/")[2]]
    return definition | schema


def _types(schema: Schema) -> set[str]:
    kinds = schema.get("type", [])
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _listed(kinds: set[str]) -> str:
    return " or ".join(sorted(kinds))


def _beneath(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name
