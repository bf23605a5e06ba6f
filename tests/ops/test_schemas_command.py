"""`rookery schemas`, with no node anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from rookery.ops.cli import commands
from rookery.schemas import all_types

from .conftest import Rookery, command_line


@pytest.fixture
def rookery(capfd: pytest.CaptureFixture[str]) -> Rookery:
    return command_line(capfd)


@pytest.fixture
def folder(rookery: Rookery, tmp_path: Path) -> Path:
    """A fresh export."""
    folder = tmp_path / "contract"
    assert rookery("schemas", "export", folder).code == 0
    return folder


def promise_a_field(folder: Path) -> None:
    """Make the published schema one that had a field which is gone now."""
    path = folder / "run.started.json"
    schema = json.loads(path.read_text())
    schema["properties"]["data"]["properties"]["mood"] = {"type": "string"}
    path.write_text(json.dumps(schema))


def test_every_type_is_listed(rookery: Rookery) -> None:
    rows = rookery("schemas", "list", "--json").json
    assert [row["type"] for row in rows] == [known.name for known in all_types()]
    assert [row["type"] for row in rows if row["superseded"]] == ["feedback.given"]
    assert rookery("schemas", "list").out.startswith("type ")


def test_a_schema_is_shown(rookery: Rookery) -> None:
    schema = rookery("schemas", "show", "run.completed").json
    assert schema["properties"]["type"] == {"const": "run.completed"}
    assert rookery("schemas", "show", "envelope").json["title"] == "envelope"


def test_a_shell_completes_what_can_be_shown() -> None:
    completed = ShellComplete(commands.rookery, {}, "rookery", "_").get_completions(["schemas", "show"], "env")
    assert [item.value for item in completed] == ["envelope"]


def test_a_type_that_is_not_one_is_told_the_nearest(rookery: Rookery) -> None:
    refused = rookery("schemas", "show", "run.complete")
    assert refused.code == 2
    assert "did you mean 'run.completed'?" in refused.err


def test_an_export_is_checked_and_exported_again_where_it_is_outdated(rookery: Rookery, folder: Path) -> None:
    assert rookery("schemas", "check", folder).code == 0
    (folder / "run.started.json").unlink()
    outdated = rookery("schemas", "check", folder, "--json")
    assert (outdated.code, outdated.json) == (1, {"breaches": [], "outdated": ["run.started.json"]})
    assert "run.started.json" in rookery("schemas", "check", folder).out
    assert rookery("schemas", "export", folder, "--json").json == {"written": ["run.started.json"]}
    assert rookery("schemas", "export", folder).out.endswith("is up to date\n")


def test_a_broken_promise_names_type_and_field(rookery: Rookery, folder: Path) -> None:
    promise_a_field(folder)
    for command in ("check", "export"):
        refused = rookery("schemas", command, folder)
        assert refused.code == 1
        assert "run.started: data.mood: is gone" in refused.err
        assert ".v2" in refused.err
    (breach,) = rookery("schemas", "check", folder, "--json").json["breaches"]
    assert breach == {"type": "run.started", "field": "data.mood", "reason": "is gone"}


def test_a_folder_that_is_not_there_has_nothing_to_check(rookery: Rookery, tmp_path: Path) -> None:
    refused = rookery("schemas", "check", tmp_path / "nowhere")
    assert refused.code == 2
    assert "export" in refused.err
