"""An agent that says what a folder under git is written in, and how much of it there is.

    python docs/examples/code_inventory.py
    rookery assign code.inventory --input '{"path": "."}' --wait

Its function is a plain one: it runs in a thread, and what it says of its work blocks until it is recorded.
"""

import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import rookery

FILES_MAX = 5_000
FILE_BYTES_MAX = 2**20
LANGUAGES = {
    ".c": "C", ".cc": "C++", ".cpp": "C++", ".cs": "C#", ".css": "CSS", ".go": "Go", ".h": "C", ".html": "HTML",
    ".java": "Java", ".js": "JavaScript", ".jsx": "JavaScript", ".kt": "Kotlin", ".md": "Markdown", ".php": "PHP",
    ".py": "Python", ".rb": "Ruby", ".rs": "Rust", ".rst": "reStructuredText", ".scala": "Scala", ".sh": "Shell",
    ".sql": "SQL", ".swift": "Swift", ".ts": "TypeScript", ".tsx": "TypeScript",
}  # fmt: skip

agent = rookery.Agent("surveyor", capabilities=["code.inventory"])


@agent.on("code.inventory", timeout_seconds=60)
def survey(task: rookery.ThreadTask) -> dict[str, Any]:
    """Count the files and lines of each language."""
    folder = Path(task.input["path"])
    with task.tool("git ls-files", {"path": str(folder)}) as tool:
        paths = files_of(folder)
        tool.output = f"{len(paths):,} files"
    task.progress(f"{len(paths):,} files to read", 0.1)

    lines: Counter[str] = Counter()
    longest, longest_lines = Path(), 0
    with task.tool("count lines", {"files": len(paths)}) as tool:
        for path in paths:
            count = path.read_bytes().count(b"\n")
            lines[LANGUAGES[path.suffix]] += count
            if count > longest_lines:
                longest, longest_lines = path.relative_to(folder), count
        tool.output = dict(lines.most_common())

    total = lines.total()
    mostly = ", mostly " + lines.most_common(1)[0][0] if total else ""
    if total:
        task.insight(f"The longest file is {longest}, {longest_lines:,} lines", kind="code", tags=["size"])
        task.remember(f"{folder} has {total:,} lines{mostly}", key=f"inventory {folder}"[:256])
    summary = f"{len(paths):,} files of code and text, {total:,} lines{mostly}"
    return {"summary": summary, "files": len(paths), "lines": total, "languages": dict(lines.most_common())}


def files_of(folder: Path) -> list[Path]:
    """What git knows in the folder of the languages above, the first `FILES_MAX` of it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=folder, capture_output=True, check=False)
    if listed.returncode:
        raise rookery.GiveUp(f"{folder} is not under git")  # trying again won't help
    paths = (folder / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name)
    return [path for path in paths if path.suffix in LANGUAGES and is_readable(path)][:FILES_MAX]


def is_readable(path: Path) -> bool:
    """Whether it is a file, and not too large."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size <= FILE_BYTES_MAX


if __name__ == "__main__":
    agent.run()
