"""The published contract is today's, keeps what it promised before, and reads well with the official tools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from rookery import __version__
from rookery.schemas import Event, RunStarted, all_types, escape, subject_of
from rookery.schemas.asyncapi import as_yaml, asyncapi
from rookery.schemas.errors import Breach, ContractBroken, InvalidInput
from rookery.schemas.export import ASYNCAPI, broken_in, export, files, outdated_in

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "schemas"
DIAGNOSE = Path(__file__).with_name("diagnose.mjs")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is published today, to be changed at will."""
    export(tmp_path, __version__)
    return tmp_path


def edit(path: Path, *place: str, to: object) -> None:
    """Change the value at `place` in a published schema."""
    schema = found = json.loads(path.read_text())
    *parents, last = place
    for name in parents:
        found = found[name]
    found[last] = to
    path.write_text(json.dumps(schema))


def test_no_published_type_breaks_its_promise() -> None:
    assert broken_in(PUBLISHED) == [], "add the next version of the type instead: docs/events.md says how"


def test_what_is_published_is_what_the_types_say() -> None:
    assert outdated_in(PUBLISHED, __version__) == [], "`make docs` brings it up to date"
    assert sorted(path.name for path in PUBLISHED.iterdir()) == sorted(files(__version__))


def test_an_optional_field_more_is_published_and_breaks_nothing(folder: Path) -> None:
    path = folder / "run.started.json"
    schema = json.loads(path.read_text())
    del schema["properties"]["data"]["properties"]["skill"]
    path.write_text(json.dumps(schema))
    assert broken_in(folder) == []
    assert export(folder, __version__) == ["run.started.json"]
    assert outdated_in(folder, __version__) == []


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        (("properties", "data", "properties", "reviewer"), {"type": "string"}, "data.reviewer"),
        (("properties", "data", "properties", "task"), {"type": "integer"}, "data.task"),
        (("properties", "id", "maxLength"), 65, "id"),
        (("required",), ["specversion", "id", "source", "type", "subject", "time"], "data"),
    ],
)
def test_a_broken_promise_is_named_and_nothing_is_written(
    folder: Path, place: tuple[str, ...], value: object, field: str
) -> None:
    path = folder / "message.recorded.json"
    edit(path, *place, to=value)
    (folder / ASYNCAPI).unlink()
    before = path.read_text()
    with pytest.raises(ContractBroken) as refusal:
        export(folder, __version__)
    assert {(breach.type, breach.field) for breach in refusal.value.breaches} >= {("message.recorded", field)}
    assert (path.read_text(), (folder / ASYNCAPI).exists()) == (before, False)


def test_a_type_that_is_gone_breaks_its_promise(folder: Path) -> None:
    path = folder / "run.paused.json"
    shutil.copy(folder / "run.started.json", path)
    edit(path, "$id", to="https://rookery.dev/schemas/run.paused.json")
    assert broken_in(folder) == [Breach("run.paused", "", "is gone, and events of it exist")]


def test_other_peoples_files_are_left_alone(folder: Path) -> None:
    (folder / "package.json").write_text("{/* ours */}")
    (folder / "other.thing.json").write_text('{"name": "ours"}')
    assert export(folder, __version__) == []


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000, b" " * (1 << 20) + b"{}"])
def test_a_damaged_schema_is_no_promise_to_judge_by(folder: Path, content: bytes) -> None:
    (folder / "run.started.json").write_bytes(content)
    with pytest.raises(InvalidInput, match="elsewhere"):
        export(folder, __version__)


def test_the_yaml_is_what_yaml_readers_read() -> None:
    document = asyncapi(__version__)
    assert yaml.safe_load(as_yaml(document)) == document
    odd: dict[str, Any] = {"on": [1, [], {}, [{"a b": None}]], "": {"y": "- x: é\n#"}}
    assert yaml.safe_load(as_yaml(odd)) == odd


def test_every_type_is_a_message_on_the_subject_where_it_is_published() -> None:
    document = asyncapi(__version__)
    assert document["components"]["messages"].keys() == {known.name for known in all_types()}
    event = Event.of(RunStarted(), subject="run 9", source="/agents/coder.7")
    channel = document["channels"]["run.started"]
    values = {"id": escape("run 9"), "publisher": escape("coder.7")}
    assert re.sub(r"\{(\w+)\}", lambda name: values[name[1]], channel["address"]) == subject_of(event)


def test_asyncapis_own_parser_has_nothing_to_complain_of(node_modules: Path) -> None:
    done = subprocess.run(
        ["node", DIAGNOSE, PUBLISHED / ASYNCAPI, node_modules], capture_output=True, text=True, timeout=60, check=True
    )
    found = json.loads(done.stdout)
    assert found["complaints"] == []
    assert set(found["messages"]) == {known.name for known in all_types()}
