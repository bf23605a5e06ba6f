"""docs/howto/other-agents.md: its program, its commands and its Python do what the page says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
from rookery.handlers.transports import Call, TransportError
from rookery.handlers.transports.bridge import ASSIGNMENTS_MAX, HEARTBEAT_SECONDS
from rookery.ops.bench.node_process import node_process
from rookery.ops.client import Client
from rookery.ops.settings import Settings

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "other-agents.md").read_text()
PROGRAM, USE = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BRIDGE, ASSIGN, REGISTER = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's program, where `rookery` and `python3` are this checkout's."""
    (tmp_path / "words.py").write_text(PROGRAM)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "rookery"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m rookery.ops.cli "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(script: str, **environment: str) -> str:
    ran = subprocess.run(
        ["sh", "-ec", script], capture_output=True, text=True, timeout=60, env=os.environ | environment
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_commands_bridge_the_program(folder: Path) -> None:
    (toml,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    bridges = tomllib.loads(toml)["bridges"]
    assert len(Settings.load({"bridges": ";".join(bridges)}, environment={}, folder=folder / "bin").bridges) == 3
    with node_process(folder / "data", f"--bridges={';'.join(bridges)}") as node, Client(node.node.url) as client:
        bridge = subprocess.Popen(
            ["sh", "-c", f"exec {BRIDGE}"],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"ROOKERY_URL": client.url},
        )
        assert bridge.stderr is not None
        for line in bridge.stderr:
            if "counter is at work" in line:
                break
        assert msgspec.json.decode(run(ASSIGN, ROOKERY_URL=client.url)) == {"words": 6}
        bridge.terminate()
        assert bridge.wait(20) == 0
        bridge.stderr.close()
        run(REGISTER.replace("register counter", "register counter2"), ROOKERY_URL=client.url)
        assert msgspec.json.decode(run(ASSIGN, ROOKERY_URL=client.url)) == {"words": 6}


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
