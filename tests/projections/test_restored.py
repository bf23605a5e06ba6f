"""Live, rebuilt, restored and trimmed: whatever the history, the tables are the same."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.eventstore import Log
from rookery.eventstore.archive import archive, restore, trim
from rookery.eventstore.stores import open_store
from rookery.ops.bench import workload
from rookery.projections import Projections
from rookery.tests.eventstore.archive.logs import LATER
from rookery.tests.eventstore.deliveries import mixed

histories = st.lists(st.sampled_from(["append", "seal", "fold", "archive", "trim"]), min_size=1, max_size=10)


@settings(max_examples=6, deadline=None)
@given(histories, st.integers(1, 3), st.integers(5, 40))
def test_live_rebuilt_and_restored_are_the_same_by_digest(
    history: list[str], seed: int, segment_events_max: int
) -> None:
    with TemporaryDirectory() as name:
        folder, store = Path(name), open_store(f"{name}/cold")
        with (
            Log.open(folder / "log", segment_events_max=segment_events_max) as log,
            Projections.open(folder / "live.duckdb", log) as projections,
        ):
            live(log, projections, [*history, "append", "fold"], folder / "cold", seed)
            expected = projections.digests()
            trim(log, store, archive(log, store).catalogue, before=LATER)
            assert projections.rebuild().digests_after == expected
        restore(store, folder / "restored")
        with (
            Log.open(folder / "restored", segment_events_max=segment_events_max) as log,
            Projections.open(folder / "restored.duckdb", log) as projections,
        ):
            projections.catch_up()
            assert projections.digests() == expected


def live(log: Log, projections: Projections, history: list[str], cold: Path, seed: int) -> None:
    """What may happen to a log, in this order."""
    events, odd = workload.deliveries(1_000, seed=seed), iter(mixed(100))
    store = open_store(str(cold))
    for step in history:
        match step:
            case "append":
                log.append("local", [next(events) for _ in range(60)])
                log.append("berlin", [next(odd) for _ in range(7)])
            case "seal":
                log.seal_full_segments()
            case "fold":
                projections.catch_up()
            case "archive":
                archive(log, store)
            case "trim":
                trim(log, store, archive(log, store).catalogue, before=LATER)
