"""Disks that refuse or die at the n-th touch, so that a test can go through every n."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rookery.eventstore import Disk

# Whatever only reads cannot leave anything behind.
TOUCHES = frozenset(
    {
        "open_private",
        "open_to_write",
        "write_at",
        "fsync",
        "truncate",
        "close",
        "lock",
        "make_folder",
        "fsync_folder",
        "rename",
        "unlink",
    }
)


class CountingDisk(Disk):
    """Counts its touches, and does something else than asked from the `first` to the `last` of them."""

    def __init__(self, first: int = 0, last: int = 0) -> None:
        self.touches = 0
        self.first, self.last = first, last

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return partial(self.touch, name, found) if name in TOUCHES else found

    def touch(self, name: str, really: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.touches += 1
        if self.first <= self.touches <= self.last:
            self.fault(name, args)
        return really(*args, **kwargs)

    def fault(self, name: str, args: tuple[Any, ...]) -> None:
        """What happens before the touch, or instead of it if this raises."""


class FullDisk(CountingDisk):
    """Refuses; of a write, a part may have got through. Closing always works, as it does on Linux."""

    def fault(self, name: str, args: tuple[Any, ...]) -> None:
        if name == "close":
            return
        if name == "write_at":
            write_half(*args)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Crash(BaseException):
    """The machine stopped. Nothing of the program runs any more."""


class DyingDisk(CountingDisk):
    """Stops the program at the n-th touch for good. Half of a write that was under way is on the disk.

    With `loses_unsynced`, the machine stopped as well: what was appended and not synced is gone.
    """

    def __init__(self, first: int, *, loses_unsynced: bool = False) -> None:
        super().__init__(first, 2**62)
        self._loses_unsynced = loses_unsynced
        self._synced_bytes: dict[str, int] = {}
        self._open: set[int] = set()
        self._dead = False

    def touch(self, name: str, really: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name == "write_at" and not self._dead:
            self._synced_bytes.setdefault(path_of(args[0]), os.fstat(args[0]).st_size)
        result = super().touch(name, really, *args, **kwargs)
        if name in ("open_private", "open_to_write"):
            self._open.add(result)
        if name == "close":
            self._open.discard(args[0])
        if name == "fsync":
            self._synced_bytes.pop(path_of(args[0]), None)
        if name == "rename" and (synced_bytes := self._synced_bytes.pop(str(args[0]), None)) is not None:
            self._synced_bytes[str(args[1])] = synced_bytes
        if name == "unlink":
            self._synced_bytes.pop(str(args[0]), None)
        return result

    def fault(self, name: str, args: tuple[Any, ...]) -> None:
        if not self._dead:
            self._dead = True
            if name == "write_at":
                write_half(*args)
            if self._loses_unsynced:
                self._lose()
            for descriptor in self._open:
                os.close(descriptor)  # and the locks with them, as when a process ends
        raise Crash

    def _lose(self) -> None:
        for path, size_bytes in self._synced_bytes.items():
            if Path(path).exists():
                os.truncate(path, min(size_bytes, Path(path).stat().st_size))


def write_half(descriptor: int, data: bytes, offset: int) -> None:
    os.pwrite(descriptor, data[: len(data) // 2], offset)


def path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")
