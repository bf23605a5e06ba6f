"""docs/examples: each agent, given a small folder under git, finds there what a person would count."""

from __future__ import annotations

import subprocess
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
from rookery import testing
from rookery.ops.agent_processes import EXAMPLES_FOLDER
from rookery.ops.examples import EXAMPLES
from rookery.ops.fleet_demo import FLEET

SOURCE = "def add(a, b=[]):\n    try:\n        return a + b\n    except:\n        return None\n"
TESTS = {
    "test_code.py": "def test_one():\n    pass\n\n\nclass TestMore:\n    async def test_two(self):\n        pass\n",
    "code_test.go": "func TestAll(t *testing.T) {\n}\n",
    "code.spec.ts": "describe('all', () => {\n  it('works', () => {})\n  test(`too`, () => {})\n})\n",
    "lib.rs": "#[test]\nfn works() {}\n\n#[tokio::test]\nasync fn works_too() {}\n",
}


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text(SOURCE)
    (tmp_path / "README.md").write_text("# Code\n")
    (tmp_path / "image.png").write_bytes(bytes(1_000))
    (tmp_path / "link.py").symlink_to("code.py")
    git(tmp_path, "add", ".")
    (tmp_path / "unknown_to_git.py").write_text(SOURCE)
    return tmp_path


def example(name: str) -> dict[str, Any]:
    return run_path(str(EXAMPLES_FOLDER / name))


def test_every_example_runs_the_agent_that_the_demo_knows() -> None:
    assert {path.name for path in EXAMPLES_FOLDER.glob("*.py")} == {known.file for known in (*EXAMPLES, *FLEET)}
    for known in EXAMPLES:
        agent = example(known.file)["agent"]
        assert (agent.id, agent.profile.capabilities) == (known.agent_id, (known.capability,))


async def test_the_inventory_counts_what_git_knows(folder: Path) -> None:
    run = await testing.run(example("code_inventory.py")["agent"], "code.inventory", {"path": str(folder)})
    assert run.result == {
        "summary": "2 files of code and text, 6 lines, mostly Python",
        "files": 2,
        "lines": 6,
        "languages": {"Python": 5, "Markdown": 1},
    }
    assert [call.tool for call in run.events_of("tool_call.completed")] == ["git ls-files", "count lines"]
    assert [insight.text for insight in run.events_of("insight.recorded")] == ["The longest file is code.py, 5 lines"]
    assert len(run.events_of("memory.recorded")) == 1


async def test_an_empty_repository_has_nothing_to_count_and_that_is_no_failure(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    answers = {"code.inventory": {"lines": 0}}
    for known in EXAMPLES:
        run = await testing.run(
            example(known.file)["agent"],
            known.capability,
            {"path": str(tmp_path)},
            answers=answers if known.agent_id == "examiner" else None,
        )
        assert run.error is None, known


def test_the_linter_has_checks_of_its_own_where_there_is_no_ruff(folder: Path) -> None:
    linter = example("linter.py")
    (folder / "broken.py").write_text("def (:\n")
    git(folder, "add", "broken.py")
    assert linter["checked"](folder) == {"mutable default": 1, "bare except": 1, "syntax error": 1}


async def test_a_linter_that_cannot_run_is_recorded_as_failed_and_replaced(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.ruff]\nrequired-version = "==0.0.1"\n')
    run = await testing.run(example("linter.py")["agent"], "code.lint", {"path": str(folder)})
    assert run.error is None
    assert "found, most of all" in run.result["summary"]
    *failed, hand = run.events_of("tool_call.completed")
    assert (hand.tool, hand.outcome) == ("python ast", "ok")
    assert [(call.tool, call.outcome) for call in failed] in ([], [("ruff", "error")])  # not everybody has ruff


async def test_tests_are_counted_in_many_languages_and_set_against_the_code(folder: Path) -> None:
    for name, text in TESTS.items():
        (folder / name).write_text(text)
    git(folder, "add", *TESTS)
    run = await testing.run(
        example("tests_inventory.py")["agent"],
        "tests.inventory",
        {"path": str(folder)},
        answers={"code.inventory": {"lines": 70}},
    )
    assert run.result == {"summary": "7 tests in 4 files", "tests": 7, "files": 4}
    assert [one.text for one in run.events_of("insight.recorded")] == ["There is a test for every 10 lines"]


@pytest.mark.parametrize("known", EXAMPLES)
async def test_a_folder_that_is_not_under_git_is_given_up_at_once(known: Any, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.ruff]\nrequired-version = "==0.0.1"\n')
    run = await testing.run(example(known.file)["agent"], known.capability, {"path": str(tmp_path)}, attempts_max=3)
    assert run.error is not None
    assert "is not under git" in run.error
    assert len(run.events_of("run.started")) == 1


@pytest.mark.parametrize(
    ("capability", "result"),
    [
        ("file.count", {"lines": 5, "words": 14}),
        ("file.lint", {"trailing blanks": 1, "unused imports": 3}),
        ("file.test", {"passes": False, "error": "SyntaxError: invalid syntax"}),
    ],
)
async def test_one_of_a_fleet_counts_lints_and_tests_a_file(tmp_path: Path, capability: str, result: object) -> None:
    path = tmp_path / "code.py"
    path.write_text("import os, sys\nfrom a import b as c \n\nx = c.d\nimport re\n")
    if capability == "file.test":
        path.write_text("x = = 1\n")
    agent = example("fleet_agent.py")["fleet_agent"]("one", [capability])
    run = await testing.run(agent, capability, {"path": str(path)})
    assert (run.error, run.result) == (None, result)
    assert len(run.events_of("tool_call.completed")) == 1
