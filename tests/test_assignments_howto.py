"""docs/howto/assignments.md: its commands print what it shows."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.settings import Settings

from .ops.conftest import command_line

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "assignments.md").read_text()
COMMANDS = re.split(r"^\$ ", "".join(re.findall(r"^```console\n(.*?)^```", PAGE, re.M | re.S)), flags=re.M)[1:]
(SETTING,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with node_process(tmp_path_factory.mktemp("node")) as running:
        yield running


def matches(shown: str, printed: str) -> bool:
    """Whether that is what is shown, where `…` stands for what differs from time to time."""
    pattern = r".*".join(re.escape(" ".join(part.split())) for part in shown.split("…"))
    return re.fullmatch(pattern, " ".join(printed.split()), re.S) is not None


def test_the_pages_commands_print_what_it_shows(
    node: NodeProcess, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROOKERY_URL", node.node.url)
    rookery = command_line(capfd)
    for part in COMMANDS:
        line, _, shown = part.partition("\n")
        command, _, is_filtered = line.partition(" | jq")
        done = rookery(*shlex.split(command)[1:])
        printed = done.out if done.code == 0 else done.err
        if is_filtered:
            printed = "\n".join(one["chosen"]["reason"] for one in json.loads(printed)["assignments"])
        assert matches(shown.strip(), printed.strip()), (line, printed)


def test_its_setting_is_one(tmp_path: Path) -> None:
    (tmp_path / "rookery.toml").write_text(SETTING)
    assert len(Settings.load(environment={}, folder=tmp_path).local_work) == 2
