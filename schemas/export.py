"""The published contract: a folder with the JSON Schema of every type and one AsyncAPI document of the bus."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path

import msgspec

from .asyncapi import as_yaml, asyncapi
from .catalogues import AgentCatalogue
from .compatibility import breaches
from .errors import Breach, ContractBroken, InvalidInput, UnknownEventType
from .json_schema import PLACE, Schema, document_schema, envelope_schema, event_schema, file_name
from .registry import all_types

ASYNCAPI = "asyncapi.yaml"
ENVELOPE = "envelope"
CATALOGUE = "catalogue"
SCHEMA_BYTES_MAX = 1 << 20

_IS_TYPE = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*(\.v[1-9][0-9]*)?").fullmatch


def schemas() -> dict[str, Schema]:
    """What is published now: the schema of the envelope, of each type by its name, and of a catalogue of agents."""
    others = {ENVELOPE: envelope_schema(), CATALOGUE: document_schema(CATALOGUE, AgentCatalogue)}
    return others | {known.name: event_schema(known) for known in all_types()}


def schema_of(name: str) -> Schema:
    """The schema of a type, of the `envelope`, or of a `catalogue`. Raises `UnknownEventType`."""
    known = schemas()
    if name not in known:
        raise UnknownEventType(name, next(iter(get_close_matches(name, known, n=1)), None))
    return known[name]


def files(version: str) -> dict[str, str]:
    """What the folder holds, by file name, for Rookery `version`."""
    texts = {file_name(name): _json(schema) for name, schema in schemas().items()}
    return texts | {ASYNCAPI: as_yaml(asyncapi(version))}


def export(folder: Path, version: str) -> list[str]:
    """Bring the folder up to date, and say which files were written. Raises `ContractBroken` and writes nothing."""
    if broken := broken_in(folder):
        raise ContractBroken(broken)
    folder.mkdir(parents=True, exist_ok=True)
    current, stale = files(version), outdated_in(folder, version)
    for name in stale:
        _write(folder / name, current[name])
    return stale


def broken_in(folder: Path) -> list[Breach]:
    """How today's types break the promises in the folder."""
    current = schemas()
    found = []
    for name, schema in _published(folder).items():
        if name in current:
            found += breaches(name, schema, current[name])
        else:
            found.append(Breach(name, "", "is gone, and events of it exist"))
    return found


def outdated_in(folder: Path, version: str) -> list[str]:
    """The folder's files that are missing or not as they would be written now."""
    return [name for name, text in files(version).items() if _text_of(folder / name) != text]


def _published(folder: Path) -> dict[str, Schema]:
    """The schemas in the folder, by type; other people's files are none of ours."""
    paths = [
        path for path in sorted(folder.glob("*.json")) if path.stem in (ENVELOPE, CATALOGUE) or _IS_TYPE(path.stem)
    ]
    found = {path.stem: _read(path) for path in paths}
    return {name: schema for name, schema in found.items() if schema.get("$id") == PLACE + file_name(name)}


def _read(path: Path) -> Schema:
    with path.open("rb") as file:
        content = file.read(SCHEMA_BYTES_MAX + 1)
    if len(content) > SCHEMA_BYTES_MAX:
        raise InvalidInput(f"{path}: larger than {SCHEMA_BYTES_MAX:,} bytes, which no schema is; move it elsewhere")
    try:
        return msgspec.json.decode(content, type=Schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path}: not a JSON Schema: {error}; restore it, or move it elsewhere") from None


def _json(schema: Schema) -> str:
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _write(path: Path, text: str) -> None:
    """All of it or nothing: a half schema would later be taken for what was promised."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
