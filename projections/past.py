"""The read models as they were: tables of past moments, made from the log when somebody asks, and kept for the next.

Only what a question names is folded, from the nearest earlier moment that is kept. What has been folded by the time
that nobody waits any more is kept too: who asks again goes on from there.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import msgspec

from ..eventstore import EventStoreError, Log
from .asking import ReadModels
from .database import DamagedDatabase, Database, Resources, is_damage
from .definitions import Catalogue
from .engine import Vector, ingredients
from .errors import PastNotMade, ProjectionError, QueryFailed, QueryNotAdmitted, UnknownReadModel
from .kept import Kept, Version
from .leash import Leash
from .moments import moment_text
from .queries import events_view
from .readers import ADMISSION_SECONDS_MAX, Readers
from .sidecars import SideCars
from .tables import Making, Tables

MAKING_SECONDS_MAX = 45.0
# Files that are open at once, each with a share of memory; and how many of them stay open while nobody asks.
OPEN_MAX = 2
IDLE_MAX = 1
LOOK_SECONDS = 0.1  # how often who waits looks if anybody waits for them

MAKING = Resources(rebuild_memory_size_mib_max=768)
READING = Resources(memory_size_mib_max=768)

logger = logging.getLogger(__name__)


class PastModels(ReadModels):
    """The read models of a version, as they were when the log went up to its vector."""

    def __init__(self, version: Version, catalogue: Catalogue, log: Log, *, scratch: Path, stamp: str) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self.version = version
        self.users = 0
        self.is_damaged = False
        self._stamp = stamp
        self._database = Database.open(
            version.path, scratch=scratch, readable=[log.folder], resources=READING, read_only=True
        )
        super().__init__(
            catalogue,
            Readers(self._database),
            events=lambda: events_view(log.files(), until=version.vector),
            scratch=scratch,
            names=version.names,
        )

    def vector(self) -> Vector:
        """The moment."""
        return dict(self.version.vector)

    def stamp(self) -> str:
        """What tells whether an answer may have changed: what the tables were made from, and the moment."""
        return self._stamp

    def close(self) -> None:
        """Close the file, and remove what answers needed besides."""
        self._readers.close()
        self._database.abandon()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _heard(self, error: QueryFailed) -> None:
        if is_damage(error, self.version.path) and not isinstance(error.__cause__, duckdb.InternalException):
            self.is_damaged = True  # who asks next has it made again


class Past:
    """The tables of past moments, for any number of threads; one at a time makes new ones."""

    def __init__(self, folder: Path, log: Log, catalogue: Catalogue, side_cars: SideCars | None = None) -> None:
        self._log = log
        self._catalogue = catalogue
        self._side_cars = side_cars
        self._made_from = hashlib.sha256(msgspec.json.encode(ingredients(catalogue))).hexdigest()
        self._scratch = folder / "scratch"
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._kept = Kept(folder, self._made_from)
        self._open: list[PastModels] = []  # the latest used last
        self._is_making = False
        self._is_closed = False
        self._changed = threading.Condition()

    @contextmanager
    def at(
        self, vector: Vector, names: Iterable[str] | None = None, leash: Leash | None = None
    ) -> Iterator[ReadModels]:
        """The read models of that moment: those of these names at least, or all. Blocks while they are made.

        Raises `UnknownReadModel`, `PastNotMade`, `QueryNotAdmitted`, or `QueryFailed` where nobody waits any more.
        """
        models = self._enter(_without_zeros(vector), self._wanted(names), leash or Leash())
        try:
            yield models
        finally:
            self._leave(models)

    def stamp(self, vector: Vector) -> str:
        """What tells whether an answer may have changed: what the tables are made from, and the moment."""
        return f"{self._made_from} {moment_text(vector)}"

    def close(self) -> None:
        """Let what is made and asked end soon, and close all files."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: not self._is_making)
            left, self._open = self._open, []
        for models in left:
            models.close()

    def _wanted(self, names: Iterable[str] | None) -> frozenset[str]:
        known = self._catalogue.by_name
        wanted = frozenset(known if names is None else names)
        if unknown := wanted - known.keys():
            raise UnknownReadModel(min(unknown), sorted(known))
        return wanted

    def _enter(self, vector: Vector, names: frozenset[str], leash: Leash) -> PastModels:
        """The models with one user more; made first, unless they are kept."""
        gives_up_at = time.monotonic() + ADMISSION_SECONDS_MAX
        while True:
            with self._changed:
                self._ensure_waited_for(leash)
                version = self._kept.find(vector, names)
                if version and (models := self._joined(version)):
                    return models
                if version and time.monotonic() > gives_up_at:
                    raise QueryNotAdmitted("too many moments of the past are asked at once; try again later")
                if version or self._is_making:
                    self._changed.wait(LOOK_SECONDS)
                    continue
                self._is_making = True
            try:
                self._make(vector, names, leash)
                gives_up_at = time.monotonic() + ADMISSION_SECONDS_MAX
            finally:
                with self._changed:
                    self._is_making = False
                    self._changed.notify_all()

    def _ensure_waited_for(self, leash: Leash) -> None:
        if self._is_closed:
            raise QueryNotAdmitted("the read models are closed")
        if leash.reason:
            raise QueryFailed(leash.reason)

    def _joined(self, version: Version) -> PastModels | None:
        """The open version, with one user more; None while it can't be opened."""
        models = next((one for one in self._open if one.version is version), None) or self._opened(version)
        if models is None or models.is_damaged:
            return None
        self._open = [*(one for one in self._open if one is not models), models]
        models.users += 1
        return models

    def _opened(self, version: Version) -> PastModels | None:
        self._close_idle(OPEN_MAX - 1)
        if len(self._open) >= OPEN_MAX:
            return None
        scratch = self._scratch / version.path.stem
        try:
            return PastModels(version, self._catalogue, self._log, scratch=scratch, stamp=self.stamp(version.vector))
        except (ProjectionError, OSError) as error:  # no damage: too many open files, say
            raise PastNotMade(moment_text(version.vector), str(error)) from error
        except (DamagedDatabase, duckdb.Error) as error:
            logger.warning("%s was damaged (%s); its tables are made again", version.path, error)
            self._kept.drop(version)
            return None

    def _leave(self, models: PastModels) -> None:
        with self._changed:
            models.users -= 1
            if models.is_damaged and not models.users and models in self._open:
                self._open.remove(models)
                models.close()
                self._kept.drop(models.version)
            self._close_idle(OPEN_MAX, idle_max=IDLE_MAX)
            self._changed.notify_all()

    def _close_idle(self, open_max: int, idle_max: int = OPEN_MAX) -> None:
        """Close what nobody asks, the longest unused first, down to so many."""
        idle = [models for models in self._open if not models.users]
        surplus = max(len(self._open) - open_max, len(idle) - idle_max, 0)
        for models in idle[:surplus]:
            self._open.remove(models)
            models.close()

    def _make(self, vector: Vector, names: frozenset[str], leash: Leash) -> None:
        """Make a version of that moment, or of as much of it as was folded when nobody waited any more."""
        gives_up_at = time.monotonic() + MAKING_SECONDS_MAX

        def must_end() -> bool:
            return self._is_closed or leash.reason is not None or time.monotonic() > gives_up_at

        with self._changed:
            base = self._kept.nearest(vector, names)
        try:
            reached = self._make_from(base, vector, base.names if base else names, must_end)
        except (ProjectionError, EventStoreError, DamagedDatabase, duckdb.Error, OSError) as error:
            if not self._dropped(base, error):
                raise PastNotMade(moment_text(vector), str(error)) from error
            return
        if reached != vector and not self._is_closed and not leash.reason:
            raise PastNotMade(moment_text(vector), f"not done after {MAKING_SECONDS_MAX:g} seconds; ask again to go on")

    def _make_from(
        self, base: Version | None, vector: Vector, names: frozenset[str], must_end: Callable[[], bool]
    ) -> Vector:
        """Fold into a copy of `base` what it lacks of that moment, and keep it; returns how far that went."""
        making = Making(self._log, self._catalogue.narrowed(names), MAKING, self._scratch, self._side_cars)
        tables = Tables.open(self._kept.begin(base), making, disposable=True)
        try:
            if names and not must_end():
                tables.engine.catch_up(vector, lambda *_: tables.engine.stop() if must_end() else None)
            reached = tables.vector() if names else vector
            tables.database.con.execute("checkpoint")  # closing would keep to itself that the disk is full
        finally:
            tables.close()
        with self._changed:
            self._kept.add(reached, names)
            self._kept.tidy(self._may_go)
        return reached

    def _dropped(self, base: Version | None, error: BaseException) -> bool:
        """Clear up after a failure. Whether a base was dropped that is to blame for it: without it, it may go well."""
        with self._changed:
            self._kept.clear()
            if "no space left" in str(error).lower():
                self._kept.drop_all(self._may_go)
            if base and (isinstance(error, FileNotFoundError) or is_damage(error, self._kept.begun)):
                self._kept.drop(base)
                return True
        return False

    def _may_go(self, version: Version) -> bool:
        return all(one.version is not version for one in self._open)


def _without_zeros(vector: Vector) -> Vector:
    return {origin: n for origin, n in vector.items() if n}
