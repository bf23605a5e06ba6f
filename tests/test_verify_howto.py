"""docs/howto/verify.md: its commands answer as it says, and its program accepts what is sound and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from rookery.eventstore import Log, Signer
from rookery.eventstore.signing import new_seed
from rookery.ops.settings import Settings
from rookery.tests.eventstore.deliveries import many
from rookery.tests.eventstore.test_recovery import flip
from rookery.tests.ops.conftest import command_line

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "verify.md").read_text()
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CONSOLES = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def without_figures(text: str) -> str:
    return re.sub(r"[0-9][0-9,.]*", "7", text.replace(" KiB", " bytes"))


def make(folder: Path, segment_events_max: int = 1_000) -> Path:
    with Log.open(folder / "log", segment_events_max=segment_events_max, signer=Signer(new_seed())) as log:
        log.append("local", many(5))
        log.seal_full_segments()
    return folder / "log" / "local"


def test_the_commands_answer_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path(Settings().data).absolute())
    damaged = make(tmp_path / "damaged") / "00000000000000000001.ndjson"
    flip(damaged, damaged.read_bytes().index(b'"n":3') + 300)
    run = command_line(capfd)
    for (command, shown), code in zip(CONSOLES, (0, 1), strict=True):
        found = run(*command.split()[1:])
        assert found.code == code
        assert without_figures(found.out).startswith(without_figures(shown))


def check(folder: Path, tmp_path: Path) -> int:
    (tmp_path / "check.py").write_text(PROGRAM)
    command = [sys.executable, "-I", "check.py", str(folder)]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode


def test_the_program_accepts_what_is_sound_and_nothing_else(tmp_path: Path) -> None:
    folder = make(tmp_path, segment_events_max=2)
    assert check(folder, tmp_path) == 0
    names = ["00000000000000000001.ndjson.zst", "00000000000000000005.ndjson", "manifest.ndjson"]
    for name, at in [(names[0], 60), (names[1], 200), (names[2], 90), (names[2], -60)]:
        flip(folder / name, at)
        assert check(folder, tmp_path) == 1, f"{name} at {at}"
        flip(folder / name, at)


def test_the_program_accepts_nothing_behind_a_signature(tmp_path: Path) -> None:
    folder = make(tmp_path, segment_events_max=2)
    manifest = folder / "manifest.ndjson"
    manifest.write_bytes(manifest.read_bytes()[:-2] + b',"also":1}\n')
    assert check(folder, tmp_path) == 1
