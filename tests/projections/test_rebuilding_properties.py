"""Whatever versions of the tables came and went, in any order: the tables are what the log says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st
from rookery.projections import Catalogue, NoWayBack, Projections, TablesOutdated
from rookery.schemas import Event, MessageRecorded
from rookery.tests.projections.dying import RESOURCES, few

from .colony import Colony, fact

EXAMPLES = 12
STEPS_MAX = 10


class Life:
    """Read models that live through this and that; now of one version, now of another."""

    def __init__(self, folder: Path) -> None:
        self.colony = Colony(folder, segment_events_max=4)
        self._path = folder / "read-models.duckdb"
        self._other_version = False
        self._said = 0
        self.models = self._open()

    def learn(self) -> None:
        """The log grows by some events, from two origins."""
        for origin in ("here", "there"):
            self.colony.append([self._message() for _ in range(3)], origin)
        self.colony.log.seal_full_segments()

    def fold(self) -> None:
        with suppress(TablesOutdated):
            self.models.catch_up()

    def rebuild(self) -> None:
        self.models.rebuild(lambda done, total: self.learn() if done < total else None)

    def roll_back(self) -> None:
        with suppress(NoWayBack):
            self.models.roll_back()

    def verify(self) -> None:
        with suppress(TablesOutdated):
            assert self.models.verify().changed == []

    def restart(self) -> None:
        self.models.close()
        self.models = self._open()

    def upgrade(self) -> None:
        """Start another version of the program, which makes other tables; the next time, the one before again."""
        self._other_version = not self._other_version
        self.restart()

    def renew(self) -> None:
        """What a node does where it finds its tables outdated."""
        if self.models.outdated:
            self.models.renew()

    def digests(self) -> dict[str, str]:
        self.renew()
        self.fold()
        assert self.models.vector() == self.colony.log.vector()
        return self.models.digests()

    def fresh_digests(self) -> dict[str, str]:
        with TemporaryDirectory() as folder, self._opened(Path(folder) / "fresh.duckdb") as fresh:
            fresh.catch_up()
            return fresh.digests()

    def close(self) -> None:
        self.models.close()
        self.colony.log.close()

    def _message(self) -> Event:
        self._said += 1
        return fact(MessageRecorded(run_id="r", step=self._said, role="user", content="x"), f"m-{self._said}")

    def _open(self) -> Projections:
        return self._opened(self._path)

    def _opened(self, path: Path) -> Projections:
        catalogue = few()
        if self._other_version:
            catalogue = Catalogue([one._replace(version=one.version + 1) for one in catalogue.projections])
        return Projections.open(
            path, self.colony.log, catalogue=catalogue, resources=RESOURCES, serve_outdated=path == self._path
        )


STEPS: list[Callable[[Life], None]] = [
    Life.learn,
    Life.fold,
    Life.rebuild,
    Life.roll_back,
    Life.verify,
    Life.restart,
    Life.upgrade,
    Life.renew,
]


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=STEPS_MAX))
@example([Life.learn, Life.fold, Life.rebuild, Life.learn, Life.roll_back, Life.learn, Life.roll_back])
@example([Life.learn, Life.fold, Life.upgrade, Life.learn, Life.renew, Life.learn, Life.upgrade, Life.learn])
def test_the_tables_are_what_the_log_says_whatever_replaced_what(steps: list[Callable[[Life], None]]) -> None:
    with TemporaryDirectory() as folder:
        life = Life(Path(folder))
        try:
            for step in steps:
                step(life)
            assert life.digests() == life.fresh_digests()
        finally:
            life.close()
