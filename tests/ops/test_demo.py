"""`rookery demo`, whole, on a small repository: what it shows, what stays, and that nothing else does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rookery.ops.bench.node_process import node_process
from rookery.ops.data_folder import DataFolder

SOURCE = "import os\n\n\ndef add(a, b=[]):\n    return a + b\n"
TESTS = "def test_one():\n    pass\n\n\ndef test_two():\n    pass\n"


def git(folder: Path, *arguments: str) -> None:
    someone = ["-c", "user.name=Mia", "-c", "user.email=m@x", "-c", "commit.gpgSign=false"]
    subprocess.run(["git", *someone, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository of two commits, whose linter would mend what it finds, if it were let."""
    folder = tmp_path / "colony"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "pyproject.toml").write_text('[tool.ruff]\nfix = true\nlint.select = ["F", "B"]\n')
    (folder / "code.py").write_text(SOURCE)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=Begin")
    (folder / "test_code.py").write_text(TESTS)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=Test it")
    return folder


def environment() -> dict[str, str]:
    alone = {name: value for name, value in os.environ.items() if not name.startswith("ROOKERY_")}
    return alone | {"ROOKERY_PORT": "1"}  # where no node of anybody's answers


def demo(folder: Path, *options: str, **variables: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "rookery.ops.cli", "demo", *options]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, env=environment() | variables, start_new_session=True, **pipes)


def alive(marks: tuple[str, ...]) -> Iterator[str]:
    """The command lines of processes that name one of these."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            folder = os.readlink(entry.parent / "cwd")
        except OSError:
            continue
        if any(mark in line or mark in folder for mark in marks):
            yield line


def test_a_demo_shows_the_history_and_what_agents_find_and_leaves_only_its_data(clone: Path) -> None:
    with demo(clone, "--json") as running:
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    shown = json.loads(out)
    assert (shown["repository"], shown["commits"], shown["authors"]) == ("colony", 2, 1)
    assert {task["agent_id"]: task["error"] for task in shown["tasks"]} == dict.fromkeys(
        ("surveyor", "linter", "examiner")
    )
    summaries = {task["agent_id"]: task["summary"] for task in shown["tasks"]}
    assert summaries["surveyor"] == "2 files of code and text, 11 lines, mostly Python"
    assert " found, most of all " in summaries["linter"]  # with or without ruff
    assert summaries["examiner"] == "2 tests in 1 files"
    assert shown["runs"] == 4  # the examiner asks the surveyor
    assert shown["tool_calls"] >= 6
    assert {"agent_id": "examiner", "text": "There is a test for every 6 lines"} in shown["insights"]
    assert {row["agent_id"]: row["outcomes"] for row in shown["proficiency"]} == {
        "examiner": 1,
        "linter": 1,
        "surveyor": 2,
    }
    assert shown["statements"] > 50
    assert shown["seconds"] < 60
    assert shown["next"][0] == "rookery up --detach"
    assert sorted(path.name for path in clone.iterdir()) == [
        ".git",
        "code.py",
        "pyproject.toml",
        "rookery-data",
        "test_code.py",
    ]
    assert (clone / "code.py").read_text() == SOURCE
    assert not list(alive((str(clone),)))


def test_a_fleet_of_ten_does_its_work_though_one_of_it_is_killed(clone: Path) -> None:
    for number in range(20):
        (clone / f"part_{number}.py").write_text(SOURCE)
    git(clone, "add", ".")
    with demo(clone, "fleet", "--json") as running:
        out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    worked = json.loads(out)
    assert worked["files"] == 23
    assert worked["tasks"] % (23 + 23 + 22) == 0
    assert worked["completed"] == worked["ended_once"] == worked["tasks"]
    killed = worked["killed"]
    assert killed["taken_up_by"] != killed["agent_id"]
    assert killed["taken_up_by"].partition("-")[0] == killed["agent_id"].partition("-")[0]
    assert sum(row["tasks"] for row in worked["work"]) == worked["tasks"]
    assert not list(alive((str(clone),)))


def test_a_demo_uses_the_node_that_runs_and_lets_it_run(clone: Path, tmp_path: Path) -> None:
    with node_process(tmp_path / "node") as node:
        with demo(clone, "--data", str(tmp_path / "node")) as running:
            out, err = running.communicate(timeout=60)
        assert running.returncode == 0, err
        assert out.decode().startswith("colony  2 commits by 1 author\n")
        assert "rookery query commits_by_author\n" in out.decode()
        assert DataFolder(tmp_path / "node").running() == node.node
        assert not (clone / "rookery-data").exists()


@pytest.mark.parametrize("moment", [b"a node starts", b"importing", b"at work"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_whoever_interrupts_a_demo_finds_nothing_running(clone: Path, end: signal.Signals, moment: bytes) -> None:
    with demo(clone) as running:
        assert running.stderr is not None
        said = b""
        while moment not in said:
            said = running.stderr.readline()
            assert said, "it ended by itself"
        running.send_signal(end)
        running.communicate(timeout=60)
    assert running.returncode in (0, 130)
    assert not list(alive((str(clone),)))


def test_a_folder_without_a_history_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        _, err = running.communicate(timeout=60)
    assert running.returncode == 2
    assert b"has no history to look at: not a git repository" in err
    with demo(tmp_path, "fleet") as running:
        _, err = running.communicate(timeout=60)
    assert running.returncode == 2
    assert b"has no files of text that git knows" in err
    assert not list(tmp_path.iterdir())
