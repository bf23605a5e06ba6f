"""An agent that runs a linter over the Python in a folder: ruff where there is one, else a few checks of its own.

    python docs/examples/linter.py
    rookery assign code.lint --input '{"path": "."}' --wait

A tool that fails is recorded as failed, and the agent goes on with another one.
"""

import ast
import asyncio
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import rookery

FILES_MAX = 2_000
FILE_BYTES_MAX = 2**20
RULES_MAX = 20
RUFF_OPTIONS = (
    "check",
    "--no-fix",
    "--no-cache",
    "--exit-zero",
    "--quiet",
    "--statistics",
    "--output-format=json",
    ".",
)

agent = rookery.Agent("linter", capabilities=["code.lint"])


@agent.on("code.lint", timeout_seconds=60)
async def lint(task: rookery.Task) -> dict[str, Any]:
    """Say what a linter finds, by rule."""
    folder = Path(task.input["path"])
    ruff = shutil.which("ruff", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    found = await by_ruff(task, folder, ruff) if ruff else None
    if found is None:
        found = await by_hand(task, folder)
    summary = "nothing found"
    if found:
        rule, times = found.most_common(1)[0]
        summary = f"{found.total():,} found, most of all {rule}"
        await task.insight(f"The linter finds most of all {rule}, {times:,} of {found.total():,}", kind="code")
    return {"summary": summary, "findings": dict(found.most_common(RULES_MAX))}


async def by_ruff(task: rookery.Task, folder: Path, ruff: str) -> Counter[str] | None:
    """How often ruff finds what; None where it can't be run here."""
    async with task.tool("ruff", {"path": str(folder)}) as tool:
        process = await asyncio.create_subprocess_exec(
            ruff, *RUFF_OPTIONS, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            answer, complaint = await process.communicate()
        finally:
            if process.returncode is None:  # we were called off
                process.kill()
        if process.returncode:
            tool.outcome, tool.error = "error", complaint.decode(errors="replace")[:1_000]
            return None
        rules = json.loads(answer or b"[]")
        tool.output = f"{len(rules)} rules"
    return Counter({f"{rule['code'] or 'syntax'} ({rule['name']})": rule["count"] for rule in rules})


async def by_hand(task: rookery.Task, folder: Path) -> Counter[str]:
    """How often our own checks find something."""
    async with task.tool("python ast", {"path": str(folder)}) as tool:
        found: Counter[str] = await asyncio.to_thread(checked, folder)
        tool.output = dict(found)
    return found


def checked(folder: Path) -> Counter[str]:
    """Syntax errors, `except:` for everything, and defaults that all calls share, in what git knows of the folder."""
    listed = subprocess.run(["git", "ls-files", "-z", "*.py"], cwd=folder, capture_output=True, check=False)
    if listed.returncode:
        raise rookery.GiveUp(f"{folder} is not under git")
    found: Counter[str] = Counter()
    for name in listed.stdout.split(b"\0")[:FILES_MAX]:
        path = folder / os.fsdecode(name)
        if name and path.is_file() and not path.is_symlink() and path.stat().st_size <= FILE_BYTES_MAX:
            found.update(findings_in(path.read_bytes()))
    return found


def findings_in(source: bytes) -> list[str]:
    """What is wrong with one file."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ["syntax error"]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append("bare except")
        if isinstance(node, ast.arguments):
            defaults = [*node.defaults, *node.kw_defaults]
            found += ["mutable default" for one in defaults if isinstance(one, ast.List | ast.Dict | ast.Set)]
    return found


if __name__ == "__main__":
    agent.run()
