"""Disks of a few MiB, for tests that fill them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, *, size_mib: int = 128) -> Iterator[Callable[[], None]]:
    """A disk of its own at `folder`; calling what this yields fills it, and removing `ballast` makes room."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "rookery-test", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("a full disk: there is no `mount`")
    if mounted.returncode:
        pytest.skip(f"a full disk: this user can't mount one ({mounted.stderr.strip()})")
    try:
        yield lambda: _fill(folder / "ballast")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(ballast: Path) -> None:
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
