"""An agent that counts a folder's tests, and asks another agent how much code they are for.

    python docs/examples/tests_inventory.py
    rookery assign tests.inventory --input '{"path": "."}' --wait      (with code_inventory.py running, too)

`task.ask` gives a task to whoever has the capability: which agent that is, this one needs not know.
"""

import asyncio
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import rookery

FILES_MAX = 5_000
FILE_BYTES_MAX = 2**20
ASK_SECONDS_MAX = 30.0
TESTS = {
    suffix: re.compile(pattern, re.MULTILINE)
    for suffixes, pattern in {
        ".py": rb"^\s*(?:async )?def test",
        ".go": rb"^func Test",
        ".rs": rb"^\s*#\[(?:tokio::)?test\]",
        ".java .kt": rb"^\s*@Test\b",
        ".js .jsx .ts .tsx": rb"^\s*(?:it|test)\(",
        ".rb": rb"^\s*(?:it|test) [\"']",
    }.items()
    for suffix in suffixes.split()
}

agent = rookery.Agent("examiner", capabilities=["tests.inventory"])


@agent.on("tests.inventory", timeout_seconds=90)
async def examine(task: rookery.Task) -> dict[str, Any]:
    """Count the tests, file by file, and set them against the code."""
    folder = Path(task.input["path"])
    async with task.tool("count tests", {"path": str(folder)}) as tool:
        tests = await asyncio.to_thread(counted, folder)
        tool.output = tests
    total = sum(tests.values())
    await task.progress(f"{total:,} tests found", 0.5)

    code = await task.ask("code.inventory", {"path": str(folder)}, timeout_seconds=ASK_SECONDS_MAX)
    summary = f"{total:,} tests in {len(tests):,} files"
    if total:
        ratio = round(code["lines"] / total)
        await task.insight(f"There is a test for every {ratio:,} lines", kind="tests", tags=["coverage"])
    else:
        await task.insight(f"{code['lines']:,} lines have no test that could be found", kind="tests", tags=["coverage"])
    return {"summary": summary, "tests": total, "files": len(tests)}


def counted(folder: Path) -> dict[str, int]:
    """How many tests each file has, among the first `FILES_MAX` that git knows in the folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=folder, capture_output=True, check=False)
    if listed.returncode:
        raise rookery.GiveUp(f"{folder} is not under git")
    names = [os.fsdecode(name) for name in listed.stdout.split(b"\0")]
    chosen = [name for name in names if Path(name).suffix in TESTS][:FILES_MAX]
    counts = {name: tests_in(folder / name) for name in chosen}
    return {name: count for name, count in counts.items() if count}


def tests_in(path: Path) -> int:
    """How many tests one file has."""
    if not path.is_file() or path.is_symlink() or path.stat().st_size > FILE_BYTES_MAX:
        return 0
    return len(TESTS[path.suffix].findall(path.read_bytes()))


if __name__ == "__main__":
    agent.run()
