"""docs/tutorial-fleet.md, followed to the letter: ten agents, one of which is killed; every output compared."""

from __future__ import annotations

import re
from pathlib import Path

from .test_tutorial import STEPS, Terminals, terminals

__all__ = ["terminals"]

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "tutorial-fleet.md").read_text()
DEMO = "rookery demo fleet"  # tests/ops/test_demo.py


def test_the_tutorial_does_what_it_says(terminals: Terminals, tmp_path: Path) -> None:
    for step in STEPS.finditer(PAGE):
        match step["language"]:
            case "python":
                (tmp_path / "work" / step["file"]).write_text(step["text"])
            case "sh" if step["text"].strip() != DEMO:
                terminals.start_several(step["text"])
            case "console":
                for part in re.split(r"^\$ ", step["text"], flags=re.MULTILINE)[1:]:
                    command, _, shown = part.partition("\n")
                    assert terminals.run(command) == shown, command
