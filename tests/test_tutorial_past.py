"""docs/tutorial-past.md, followed to the letter in one shell: every file saved, command run, and output compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "tutorial-past.md").read_text()
STEPS = re.compile(r"(?:Save this as `(?P<file>[\w.]+)`[^`]*)?^```(?P<language>\w+)\n(?P<text>.*?)^```", re.M | re.S)
END = "-- end of output --"
# What differs from one reader to the next.
DIFFERENCES = {
    r"^\d+ rows?(; .*)?\n": "",
    r"127\.0\.0\.1:\d+": "127.0.0.1:PORT",
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?( UTC|Z)": "TIME",
    r"\d+\.\d+ s\b": "SECONDS",
    r"\d+\.\d+%": "SHARE",
    r"\d+\.\d KiB|[\d,]+ bytes": "SIZE",
    r"(\d+) of \1 read models": "all read models",
    r"\S*/cold": "/cold",
}


class Shell:
    """A reader's terminal, in a folder of its own and with the commands on the path."""

    def __init__(self, folder: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ROOKERY_")}
        self._process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str) -> str:
        """All that the command prints."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{{ {command}\n}} < /dev/null\necho {END}\n")
        self._process.stdin.flush()
        return "".join(iter(self._process.stdout.readline, f"{END}\n"))

    def close(self) -> None:
        """Leave nothing running, wherever the page has come to."""
        self.run("for folder in . other ..; do (cd $folder && rookery down); done")
        self._process.communicate(timeout=60)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def alike(printed: str) -> str:
    for pattern, name in DIFFERENCES.items():
        printed = re.sub(pattern, name, printed, flags=re.MULTILINE)
    return printed


def test_the_tutorial_of_the_past_does_what_it_says(shell: Shell, tmp_path: Path) -> None:
    for step in STEPS.finditer(PAGE):
        if step["file"]:
            (tmp_path / step["file"]).write_text(step["text"])
            continue
        for part in re.split(r"^\$ ", step["text"], flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            assert alike(shell.run(command)) == alike(shown), command
