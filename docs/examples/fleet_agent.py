"""One of a fleet: an agent that counts, lints or tests one file at a time, under the name that it is started with.

    python docs/examples/fleet_agent.py counter-1 file.count &
    python docs/examples/fleet_agent.py tester-1 file.test &
    rookery assign file.count --input '{"path": "README.md"}' --wait

It says every second that it is alive, so that its death is noticed within two.
"""

import ast
import asyncio
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rookery

FILE_BYTES_MAX = 2**20
LINE_CHARACTERS_MAX = 120
TEST_SECONDS_MAX = 20.0
COMPILING = "import sys, pathlib; compile(pathlib.Path(sys.argv[1]).read_bytes(), sys.argv[1], 'exec')"


def read(task: Any) -> bytes:
    """What is in the task's file."""
    path = Path(task.input["path"])
    if path.stat().st_size > FILE_BYTES_MAX:
        raise rookery.GiveUp(f"{path} has more than {FILE_BYTES_MAX:,} bytes")  # trying again won't help
    return path.read_bytes()


def count(task: rookery.ThreadTask) -> dict[str, int]:
    """Count lines and words."""
    with task.tool("count", {"path": task.input["path"]}) as tool:
        content = read(task)
        tool.output = f"{len(content):,} bytes"
    return {"lines": content.count(b"\n"), "words": len(content.split())}


def lint(task: rookery.ThreadTask) -> dict[str, int]:
    """Look for lines that are long, or end in blanks, and in Python for names that are never used."""
    with task.tool("lint", {"path": task.input["path"]}) as tool:
        content = read(task)
        lines = content.decode(errors="replace").splitlines()
        found = {
            "long lines": sum(len(line) > LINE_CHARACTERS_MAX for line in lines),
            "trailing blanks": sum(line != line.rstrip() for line in lines),
            "unused imports": unused_imports(content) if task.input["path"].endswith(".py") else 0,
        }
        tool.output = found
    return {what: times for what, times in found.items() if times}


def unused_imports(source: bytes) -> int:
    """How many names are imported and not mentioned again."""
    try:
        with warnings.catch_warnings(action="ignore"):
            nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0
    imports = [name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for name in node.names]
    mentioned = {node.id for node in nodes if isinstance(node, ast.Name)}
    return sum((name.asname or name.name).partition(".")[0] not in mentioned for name in imports)


async def test(task: rookery.Task) -> dict[str, Any]:
    """Have a fresh interpreter compile the file: the least that every Python file must pass. Nothing of it is run."""
    async with task.tool("compile", {"path": task.input["path"]}) as tool:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-c", COMPILING, task.input["path"], stderr=asyncio.subprocess.PIPE
        )
        try:
            _, complaint = await process.communicate()
        finally:
            if process.returncode is None:  # we were called off
                process.kill()
        tool.outcome = "error" if process.returncode else "ok"
    said = complaint.decode(errors="replace").strip().rpartition("\n")[2]
    return {"passes": not process.returncode} | ({"error": said} if said else {})


FUNCTIONS: dict[str, Callable[[Any], Any]] = {"file.count": count, "file.lint": lint, "file.test": test}


def fleet_agent(agent_id: str, capabilities: list[str]) -> rookery.Agent:
    """An agent of this name that can do this."""
    agent = rookery.Agent(agent_id, capabilities=capabilities, concurrency=1, heartbeat_seconds=1.0)
    for capability in capabilities:
        agent.on(capability, timeout_seconds=TEST_SECONDS_MAX)(FUNCTIONS[capability])
    return agent


if __name__ == "__main__":
    if len(sys.argv) < 3 or not {*sys.argv[2:]} <= FUNCTIONS.keys():
        sys.exit(f"usage: fleet_agent.py NAME CAPABILITY...; the capabilities are {', '.join(FUNCTIONS)}")
    fleet_agent(sys.argv[1], sys.argv[2:]).run()
