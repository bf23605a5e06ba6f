"""A repository's history as git tells it: a stream of fields, each ended by a NUL, so that any text may stand in them.

Only git's plumbing is asked, which heeds none of the user's preferences: the same history gives the same fields on any
machine. Nothing in the repository is run, nothing is fetched, nothing is written.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO

READ_BYTES = 64 * 2**10
FIELD_BYTES_MAX = 256 * 2**10  # of a longer field, what follows is lost
REASON_BYTES_MAX = 500

LOST = "the history breaks off: "

# Of each commit: its hash, its parents, its author's name and address, when it was committed, and its message.
HEADER = ("%H", "%P", "%an", "%ae", "%ct", "%B")
TELL = (
    *("diff-tree", "--stdin", "--root", "--always", "--numstat", "-z", "--encoding=UTF-8"),
    *("--find-renames", "-l400", "--diff-algorithm=myers", "--no-ext-diff", "--no-textconv", "--no-relative"),
    "--format=tformat:" + "%x00".join(HEADER),
)


class History:
    """One repository's, opened by `opened` and closed with it: then git, too, has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes_read = 0
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self.processes: list[subprocess.Popen[bytes]] = []

    @cached_property
    def folder(self) -> Path:
        """Where git keeps it. Raises `OSError` where there is no repository."""
        return Path(os.fsdecode(self._ask("rev-parse", "--absolute-git-dir")))

    @cached_property
    def name(self) -> str:
        """What its remote `origin` calls it, else its folder."""
        url = os.fsdecode(self._ask("config", "--get", "remote.origin.url", fallback=b"")).rstrip("/")
        folder = self.folder.parent if self.folder.name == ".git" else self.folder
        return (url.replace(":", "/").rpartition("/")[2] or folder.name).removesuffix(".git") or str(folder)

    @cached_property
    def edge(self) -> frozenset[bytes]:
        """The commits of a shallow clone whose parents it lacks: against what they changed is not known."""
        place = self.path / os.fsdecode(self._ask("rev-parse", "--git-path", "shallow"))
        return frozenset(place.read_bytes().split()) if place.exists() else frozenset()

    def fields(self, branch: str | None, last: int | None = None) -> Iterator[bytes]:
        """Of the `last` commits that lead to `branch`, newest first: the fields of `HEADER`, then a few for each file.

        That order is git's own: it finds the commits on the way, needs no list of all, and compares a quarter faster.
        Raises `OSError` where the history breaks off. No commit at all is a history, too, unless a branch is named.
        """
        tip = self._ask("rev-parse", "--verify", "--quiet", f"{branch or 'HEAD'}^{{commit}}", fallback=b"")
        if not tip and branch:
            raise OSError(f"it has no commit named {branch!r}")
        if not tip:
            return
        listing = self._start("rev-list", *(() if last is None else (f"--max-count={last}",)), os.fsdecode(tip))
        telling = self._start(*TELL, stdin=listing.stdout)
        assert listing.stdout
        assert telling.stdout
        listing.stdout.close()  # ours; so that it ends when the other one does
        yield from self._split(telling.stdout)
        if listing.wait() or telling.wait():
            raise OSError(LOST + self._reason())

    def tell(self) -> int:
        """How many bytes of it were read."""
        return self._bytes_read

    def close(self) -> None:
        """End what still runs."""
        for process in self.processes:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        self._said.close()

    def _split(self, output: IO[bytes]) -> Iterator[bytes]:
        rest = b""
        while read := output.read(READ_BYTES):
            self._bytes_read += len(read)
            *whole, rest = (rest + read).split(b"\0")
            yield from whole
            rest = rest[:FIELD_BYTES_MAX]

    def _ask(self, *arguments: str, fallback: bytes | None = None) -> bytes:
        """What git answers, or `fallback` where it has no answer. Raises `OSError` where there is neither."""
        process = self._start(*arguments)
        answer = process.communicate()[0].strip(b"\n")
        if process.returncode and fallback is None:
            raise OSError(self._reason())
        return answer if not process.returncode else fallback or b""

    def _start(self, *arguments: str, stdin: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        # A partial clone would fetch what it lacks; a repository may name programs that git would run.
        command = ["git", "--no-replace-objects", "-c", "core.fsmonitor=false", "-C", str(self.path), *arguments]
        own = {"LC_ALL": "C", "GIT_ALLOW_PROTOCOL": "none", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | own
        try:
            process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=stdin or subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=environment,
            )
        except FileNotFoundError:
            raise OSError("git is needed for that, and is not installed") from None
        self.processes.append(process)
        return process

    def _reason(self) -> str:
        """The last thing that git said."""
        said_bytes = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, said_bytes - REASON_BYTES_MAX))
        last = self._said.read().decode(errors="replace").strip().rpartition("\n")[2]
        return last.removeprefix("fatal: ") or "git did not say why"


@contextmanager
def opened(path: Path) -> Iterator[History]:
    """The history of the repository that `path` is, or is in. Raises `OSError` where there is none."""
    with closing(History(path)) as history:
        _ = history.folder  # raises where there is none
        yield history
