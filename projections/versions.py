"""The files in which versions of the read models lie: the live one, the one before it, and the one being made.

A process may end between any two touches of the disk, and each of them may be refused. Whatever that leaves, `recover`
makes of it a live file that was whole before: nothing is lost by it but time, for the log has everything.
"""

from __future__ import annotations

from pathlib import Path

from ..eventstore import Disk
from .database import write_ahead_log


class Versions:
    """`live` is what is asked, `previous` what was before it. `rebuilt` is worth nothing until it takes over."""

    def __init__(self, live: Path, disk: Disk | None = None) -> None:
        self.live = live
        self.previous = live.with_name(live.name + ".previous")
        self.rebuilt = live.with_name(live.name + ".rebuilt")
        self._disk = disk or Disk()

    def recover(self) -> None:
        """Put the previous file in the place of a live one that is missing. Call it when none of them is open."""
        if not self._disk.exists(self.live) and self._disk.exists(self.previous):
            self._move(self.previous, self.live)

    def take_over(self, *, keep: bool) -> None:
        """Put the rebuilt file in the place of the live one, which becomes the previous one if it is worth keeping.

        Both are closed.
        """
        if keep:
            self._move(self.live, self.previous)
        self._move(self.rebuilt, self.live)

    def exchange(self) -> None:
        """Put the previous file and the live one in each other's place. Both are closed."""
        self._move(self.live, self.rebuilt)
        self._move(self.previous, self.live)
        self._move(self.rebuilt, self.previous)

    def remove(self, path: Path) -> None:
        """Remove one of the files, if it is there."""
        self._disk.unlink(path)
        self._disk.unlink(write_ahead_log(path))

    def _move(self, path: Path, target: Path) -> None:
        """Rename a file that is closed.

        What a write-ahead log still holds is no loss, and must never meet a file that it was not written for.
        """
        self._disk.unlink(write_ahead_log(path))
        self._disk.unlink(write_ahead_log(target))
        self._disk.rename(path, target)
        self._disk.fsync_folder(target.parent)
