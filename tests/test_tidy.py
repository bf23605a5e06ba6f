"""The house rules that a machine can see."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("schemas", "bus", "eventstore", "projections", "handlers", "ops")
VAGUE_NAMES = {"utils", "util", "helpers", "common", "manager", "managers", "base", "misc", "core"}
LINES_MAX = 450
FUNCTION_LINES_MAX = 60

MODULES = [
    ROOT / "__init__.py",
    ROOT / "testing.py",
    *(path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))),
]
CODE = [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_a_module_opens_with_a_sentence_and_stays_one_room(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    if text.strip():
        assert ast.get_docstring(tree), "say in one sentence what the module is for"
    assert path.stem not in VAGUE_NAMES, "a name that says nothing: what is the module about?"
    assert text.count("\n") <= LINES_MAX, "a long file is usually two rooms: split it"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{node.name} has {length} lines: it is doing several things"


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_nothing_is_left_for_later(path: Path) -> None:
    if path == Path(__file__):
        return
    found = re.findall(r"\b(?:TODO|FIXME|XXX)\b|NotImplementedError|type: ignore(?!\[)", path.read_text())
    assert not found, "finish it, or open an issue and leave the code whole"


def test_every_package_is_declared() -> None:
    declared = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {path.parent.relative_to(ROOT) for layer in LAYERS for path in (ROOT / layer).rglob("__init__.py")}
    found = {".".join(("rookery", *folder.parts)) for folder in folders} | {"rookery"}
    assert declared == found, "pyproject.toml lists its packages one by one: keep it level with the folders"


def test_every_decision_is_in_the_index() -> None:
    records = sorted(path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    indexed = re.findall(r"\(([0-9]{4}-[a-z0-9-]+\.md)\)", (ROOT / "docs" / "adr" / "README.md").read_text())
    assert records == indexed, "docs/adr/README.md lists every record, in order"
    numbers = [int(name[:4]) for name in records]
    assert numbers == list(range(1, len(numbers) + 1)), "records are numbered without gaps"


def test_architecture_names_every_package_and_nothing_that_is_gone() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for layer in LAYERS:
        assert f"`{layer}/`" in text, f"ARCHITECTURE.md says nothing of {layer}/"
    for named in re.findall(r"`([a-z_/]+\.(?:py|sql))`", text):
        assert any(ROOT.glob(f"**/{named}")), f"ARCHITECTURE.md names {named}, which isn't there"


def test_the_tree_holds_no_paths_of_one_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    files = [ROOT / line for line in listed.stdout.splitlines()]
    for path in files:
        if path.is_symlink() or not path.is_file() or path.suffix in {".zst", ".duckdb"} or path == Path(__file__):
            continue
        assert not re.search(r"/(?:home|root|work|Users)/[a-z]", path.read_text(errors="replace")), name_of(path)
