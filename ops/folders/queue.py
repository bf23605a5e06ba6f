"""One watched folder: what is dropped there is given, once, and what comes of it is written beside it.

Everything that must be known again after a restart is in the folder and in the log. A task that has an outcome beside
it, of the bytes that it has, is done with. Any other is given, under an id that derives from it: whoever gives it
again is told how it stands.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from ...schemas import RookeryError
from . import task_files
from .offices import NotNow, Office
from .task_files import Found, Stamp, TaskFile

LOOK_SECONDS = 0.25
# A file that has not changed for so long is whole. Who writes more slowly renames it into place.
SETTLE_SECONDS = 1.0
# What is given and not over yet. The rest waits in the folder, which is a queue, after all.
UNDER_WAY_MAX = 500
FILES_MAX = 20_000
# How often everything is looked at where the folder itself says that nothing was added or renamed.
LOOK_AT_ALL_SECONDS = 2.0
# Between two looks at everything lies so many times what the first of them took.
LOOKING_SHARE = 5.0
AGAIN_SECONDS_MAX = 30.0

logger = logging.getLogger(__name__)


class FolderUnusable(RookeryError):
    """A folder that is to be watched can't be."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(f"{folder} can't be watched: {reason}")


class _Seen(NamedTuple):
    stamp: Stamp
    since: float


class FolderQueue:
    """A folder as a queue of work. `trouble` says what keeps it from going on; it goes on by itself."""

    def __init__(
        self,
        folder: Path,
        office: Office,
        *,
        settle_seconds: float = SETTLE_SECONDS,
        tell: Callable[[str], None] = logger.info,
    ) -> None:
        self.folder = folder.expanduser().resolve()
        self._tell = tell
        self.trouble = ""
        self._crowded = ""
        self.counts: Counter[str] = Counter()
        self._office = office
        self._settle_seconds = settle_seconds
        self._seen: dict[str, _Seen] = {}
        self._done_with: dict[str, Stamp] = {}
        self._under_way: dict[str, dict[str, tuple[TaskFile, Stamp]]] = {}
        self._folder_changed_ns = -1
        self._looked_at_all = float("-inf")
        self._not_before = float("-inf")
        self._some_wait = False

    @property
    def under_way(self) -> int:
        """How many assignments are given and not over."""
        return len(self._under_way)

    @property
    def is_done(self) -> bool:
        """Whether every task that is there has its outcome beside it."""
        return not self._under_way and all(self._done_with.get(name) == one.stamp for name, one in self._seen.items())

    def check(self) -> None:
        """Raises `FolderUnusable` where it is no folder that can be written to."""
        if not self.folder.is_dir():
            raise FolderUnusable(self.folder, "it is no folder; make it first")
        if not os.access(self.folder, os.R_OK | os.W_OK | os.X_OK):
            raise FolderUnusable(self.folder, "it may not be read and written by this user")

    async def run(self) -> None:
        """Look after it, for ever."""
        pause = LOOK_SECONDS
        while True:
            try:
                await self.look()
                self.trouble, pause = self._crowded, LOOK_SECONDS
            except (OSError, NotNow) as error:
                if str(error) != self.trouble:
                    logger.warning("folder %s waits: %s", self.folder, error)
                self.trouble, pause = str(error), min(pause * 2, AGAIN_SECONDS_MAX)
            except Exception as error:  # of one folder; others, and the next look, may do
                logger.exception("folder %s: a look at it failed unforeseen", self.folder)
                self.trouble, pause = f"{type(error).__name__}: {error}", min(pause * 2, AGAIN_SECONDS_MAX)
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """Give what has been dropped, and write what is over. Raises `OSError` or `NotNow`: then look again later."""
        if await asyncio.to_thread(self._may_have_changed):
            began = monotonic()
            self._note(await asyncio.to_thread(task_files.found_in, self.folder))
            self._not_before = monotonic() + LOOKING_SHARE * (monotonic() - began)
            self._some_wait = True  # unless all of it can be taken
            for name, seen in self._settled():
                await self._take(name, seen.stamp)
            self._some_wait = bool(self._waiting())
        if self._under_way:
            for standing in await self._office.over(list(self._under_way)):
                await self._write(standing.assignment_id, *task_files.told_of(standing))

    # Looking

    def _may_have_changed(self) -> bool:
        """Whether there is anything to be seen: something is settling, was added or renamed, or it is time again."""
        now, changed_ns = monotonic(), self.folder.stat().st_mtime_ns
        due = now - self._looked_at_all >= LOOK_AT_ALL_SECONDS
        if now < self._not_before or not (self._some_wait or due or changed_ns != self._folder_changed_ns):
            return False
        self._folder_changed_ns, self._looked_at_all = changed_ns, now
        return True

    def _note(self, found: Found) -> None:
        tasks, self._crowded = found.tasks, ""
        if len(tasks) > FILES_MAX:
            many = f"there are {len(tasks):,} task files in {self.folder}, and {FILES_MAX:,} are looked at"
            self._crowded = f"{many}: take away what is done"
            tasks = dict(sorted(tasks.items())[:FILES_MAX])
        now, before = monotonic(), self._seen
        self._seen = {
            name: before[name] if name in before and before[name].stamp == stamp else _Seen(stamp, now)
            for name, stamp in tasks.items()
        }
        self._done_with = {
            name: stamp
            for name, stamp in self._done_with.items()
            if tasks.get(name) == stamp and found.has_outcome(name)
        }

    def _waiting(self) -> list[tuple[str, _Seen]]:
        """What is neither done with nor under way, as it is now."""
        taken = {file.name: stamp for given in self._under_way.values() for file, stamp in given.values()}
        return [
            (name, seen)
            for name, seen in self._seen.items()
            if seen.stamp not in (self._done_with.get(name), taken.get(name))
        ]

    def _settled(self) -> list[tuple[str, _Seen]]:
        """What waits and is whole; the one that has been there longest first."""
        before = monotonic() - self._settle_seconds
        found = [(name, seen) for name, seen in self._waiting() if seen.since <= before]
        return sorted(found, key=lambda one: (one[1].stamp.changed_ns, one[0]))

    # Giving

    async def _take(self, name: str, stamp: Stamp) -> None:
        if len(self._under_way) >= UNDER_WAY_MAX:
            return
        file = TaskFile(name, "")
        try:
            content = await asyncio.to_thread(task_files.read, self.folder, name)
            file = TaskFile(name, task_files.hash_of(content))
            if await asyncio.to_thread(task_files.known_outcome, self.folder, name) == file.sha256:
                self._done_with[name] = stamp
                return
            wanted = task_files.wanted_in(self.folder, name, content)
            standing = await self._office.give(wanted)
        except FileNotFoundError:
            return
        except (NotNow, OSError):
            raise
        except RookeryError as error:
            await self._refuse(file, stamp, str(error))
            return
        self.counts["taken"] += 1
        self._under_way.setdefault(standing.assignment_id, {})[name] = (file, stamp)
        if standing.is_over:
            await self._write(standing.assignment_id, *task_files.told_of(standing))

    async def _refuse(self, file: TaskFile, stamp: Stamp, reason: str) -> None:
        """Say beside the file what is wrong with it, and leave it."""
        told = {"status": "refused", "error": reason}
        await asyncio.to_thread(task_files.write_outcome, self.folder, file, "error", told)
        self._done_with[file.name] = stamp
        self.counts["refused"] += 1
        self._tell(f"{task_files.readable(file.name)}: refused: {reason}")

    # What came of it

    async def _write(self, assignment_id: str, outcome: task_files.Outcome, told: dict[str, Any]) -> None:
        """Beside each file that asked for it and is still there."""
        files = self._under_way[assignment_id]
        for name, (file, stamp) in list(files.items()):
            seen = self._seen.get(name)
            if seen is not None and seen.stamp == stamp and os.path.lexists(self.folder / name):
                await asyncio.to_thread(task_files.write_outcome, self.folder, file, outcome, told)
                self.counts["completed" if outcome == "result" else "failed"] += 1
                self._tell(f"{task_files.readable(name)}: {told['status'].replace('_', ' ')}")
            self._done_with[name] = stamp
            del files[name]
        del self._under_way[assignment_id]
