"""docs/howto/other-agents.md: its program, its commands and its Python do what the page says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rookery.handlers.transports import Call, TransportError
from rookery.handlers.transports.bridge import ASSIGNMENTS_MAX, HEARTBEAT_SECONDS
from rookery.ops.bench.node_process import node_process

from .ops.conftest import Rookery, command_line

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "other-agents.md").read_text()
PROGRAM, USE = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BRIDGE, ASSIGN, REGISTER = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's program, where the test and all that it starts are."""
    (tmp_path / "words.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_bridge_the_program(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (toml,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (folder / "rookery.toml").write_text(toml)
    rookery = command_line(capfd)
    with node_process(folder / "data") as node:
        monkeypatch.setenv("ROOKERY_URL", node.node.url)
        with bridge(BRIDGE):
            assert said(rookery, ASSIGN) == {"words": 6}
        said(rookery, REGISTER.replace("register counter", "register counter2"))
        assert said(rookery, ASSIGN) == {"words": 6}


@contextmanager
def bridge(command: str) -> Iterator[None]:
    """`rookery bridge`, from when it is at work until it is told to end."""
    arguments = [sys.executable, "-m", "rookery.ops.cli", *shlex.split(command)[1:]]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr:
        assert any("is at work" in line for line in process.stderr)
        yield
        process.terminate()
        assert process.wait(20) == 0


def said(rookery: Rookery, command: str) -> Any:
    ended = rookery(*shlex.split(command)[1:])
    assert ended.code == 0, ended.err
    return msgspec.json.decode(ended.out) if "--wait" in command else None


def test_the_program_in_python_prints_what_it_says(folder: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True, timeout=60)
    result, refused = ran.stdout.splitlines()
    assert result == "{'words': 6}"
    assert "words.count is all I do" in refused


def test_what_is_sent_and_raised_is_on_the_page() -> None:
    (sent,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert list(msgspec.json.decode(sent)) == list(Call.__struct_fields__)
    rows = re.findall(r"^\| (`[A-Z]\w+`(?:, `\w+`)*) \|", PAGE, re.MULTILINE)
    named = {name.strip("`") for row in rows for name in row.split(", ")}
    assert named == {error.__name__ for error in TransportError.__subclasses__()}
    assert f"({HEARTBEAT_SECONDS:g} s, or as registered)" in PAGE
    assert ASSIGNMENTS_MAX == 5
