"""A repository's history: how fast it is read, beside git telling it, and how fast a node takes it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from ...handlers.importers import Publish, Published, run_import
from ..client import Client
from .figures import Figure
from .node_process import node_process

COMMITS = 10_000
FILES = 200
FILE_LINES = 100
CHANGED_FILES_MAX = 3
RIVAL = "git log --numstat"


def git_import(commits: int = COMMITS) -> list[Figure]:
    """Commits per second of a history like many: a few files each, among some hundreds of files of a hundred lines."""
    with TemporaryDirectory(prefix="rookery-bench-") as folder:
        repository = Path(folder) / "repository"
        _make(repository, commits)
        rival_seconds = _timed(lambda: _told_by_git(repository))
        read_seconds = _timed(lambda: _imported(repository, commits, _thrown_away))
        with node_process(Path(folder) / "node") as running, Client(running.node.url) as client:
            node_seconds = _timed(lambda: _imported(repository, commits, _given_to(client)))
    return [
        Figure.of("git.read", commits / read_seconds, "commits/s", rival=RIVAL, rival_value=commits / rival_seconds),
        Figure.of("git.import", commits / node_seconds, "commits/s"),
    ]


def _imported(repository: Path, commits: int, publish: Publish) -> None:
    summary = asyncio.run(run_import("git", [repository], {}, publish))
    assert summary.events == commits, summary


async def _thrown_away(payloads: list[bytes]) -> Published:
    return Published(len(payloads), 0)


def _given_to(client: Client) -> Publish:
    async def publish(payloads: list[bytes]) -> Published:
        answer = await asyncio.to_thread(client.publish, payloads, wait="logged")
        return Published(answer["new"], answer["duplicates"])

    return publish


def _told_by_git(repository: Path) -> None:
    _git(repository, "log", "--numstat", "--find-renames", stdout=subprocess.DEVNULL)


def _make(repository: Path, commits: int) -> None:
    repository.mkdir()
    _git(repository, "init", "--quiet", "--initial-branch=main")
    _git(repository, "fast-import", "--quiet", input=b"".join(_stream(commits)))
    _git(repository, "repack", "-adq")


def _git(repository: Path, *arguments: str, **options: Any) -> None:
    alone = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *arguments], cwd=repository, env=alone, check=True, **options)  # noqa: S607


def _stream(commits: int, *, seed: int = 1) -> Iterator[bytes]:
    """A history as `git fast-import` takes it."""
    random = Random(seed)  # noqa: S311
    files = [[f"line {line} of file {name}" for line in range(FILE_LINES)] for name in range(FILES)]
    for number in range(commits):
        message = f"Change number {number}\n\n{'Because it was needed. ' * random.randrange(6)}".encode()
        yield b"commit refs/heads/main\ncommitter Agent %d <agent@example.org> %d +0000\n" % (
            random.randrange(50),
            1_700_000_000 + number,
        )
        yield b"data %d\n%s\n" % (len(message), message)
        changed = range(FILES) if number == 0 else random.sample(range(FILES), random.randint(1, CHANGED_FILES_MAX))
        for name in changed:
            for _ in range(3):
                files[name][random.randrange(FILE_LINES)] = f"changed in {number}: {random.random()}"
            text = "\n".join(files[name]).encode()
            yield b"M 100644 inline src/part%d/file%d.py\ndata %d\n%s\n" % (name % 10, name, len(text), text)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
