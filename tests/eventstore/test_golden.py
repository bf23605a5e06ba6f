"""Logs as earlier versions wrote them, checked in: they must read the same for ever.

Never write these files anew. Where a later version writes another form, it gets a golden folder of its own.
"""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rookery.eventstore import Log
from rookery.eventstore.merkle import MerkleTree
from rookery.schemas import FeedbackGiven, decode
from rookery.tests.eventstore.deliveries import many

FIRST, CHAINED = "golden", "golden-chained"
HERE = Path(__file__).parent


class Golden(NamedTuple):
    """A copy of a golden log, and what it must be."""

    log: Log
    expected: dict[str, Any]


@pytest.fixture(params=["reading", "writing"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[FIRST, CHAINED])
def golden(request: pytest.FixtureRequest, mode: str, tmp_path: Path) -> Iterator[Golden]:
    folder = tmp_path / "log"
    shutil.copytree(HERE / request.param / "log", folder)
    with Log.open(folder, writable=mode == "writing", segment_events_max=4) as log:
        yield Golden(log, json.loads((HERE / request.param / "expected.json").read_text()))


def test_every_record_is_what_it_was(golden: Golden) -> None:
    log, expected = golden
    records = [record for origin in log.origins() for record in log.read(origin)]
    assert log.vector() == expected["vector"]
    assert [
        {
            "origin": record.origin,
            "n": record.n,
            "sequence": record.sequence,
            "recorded_time": record.recorded_time.isoformat(),
            "payload_base64": b64encode(record.payload).decode(),
        }
        for record in records
    ] == [{name: value for name, value in record.items() if name != "chain"} for record in expected["records"]]
    assert [log.get(record.origin, record.n) for record in records] == records


def test_the_dead_are_the_same(golden: Golden) -> None:
    letters = [{"origin": dead.origin, "n": dead.n, "field": dead.field} for dead in golden.log.dead_letters()]
    assert letters == golden.expected["dead_letters"]


def test_the_first_version_of_feedback_reads_as_the_newest(golden: Golden) -> None:
    (record,) = golden.log.search(types=["feedback.given"])
    assert decode(record.payload).payload() == FeedbackGiven(kind="score", run_id="run-9", score=0.75)


def test_the_integrity_chain_holds(golden: Golden) -> None:
    log, expected = golden
    manifest = (log.folder / "north" / "manifest.ndjson").read_bytes()
    assert sha256(manifest).hexdigest() == expected["manifest_sha256"]
    for line, root in zip(manifest.splitlines(), expected["merkle_roots"], strict=True):
        entry = json.loads(line)
        tree = MerkleTree()
        for record in log.read("north", after=entry["first"] - 1, limit=entry["events"]):
            tree.add(record.line)
        assert tree.root() == entry["merkle_root"] == root
        assert sha256((log.folder / "north" / entry["segment"]).read_bytes()).hexdigest() == entry["sha256"]


def test_the_chain_of_every_line_is_what_a_stranger_works_out(golden: Golden) -> None:
    log, expected = golden
    for origin in log.origins():
        before = "0" * 16
        for record in log.read(origin):
            without = re.sub(rb'"chain":"[0-9a-f]{16}",', b"", record.line, count=1)
            is_chained = without != record.line
            hashed = before.encode() + without if is_chained else record.line
            before = sha256(hashed).hexdigest()[:16]
            assert log.chain_at(origin, record.n) == before
            assert not is_chained or before.encode() in record.line
    chains = [(one["origin"], one["n"], one["chain"]) for one in expected["records"] if "chain" in one]
    assert all(log.chain_at(origin, n) == chain for origin, n, chain in chains)


@pytest.mark.parametrize("mode", ["writing"])
def test_it_is_appended_to_and_its_lines_stay_as_they_were(golden: Golden) -> None:
    log, expected = golden
    before = [record.line for record in log.read("north")]
    log.append("north", many(9, first=100))
    log.seal_full_segments()
    with Log.open(log.folder, writable=False) as again:
        lines = [record.line for record in again.read("north")]
        assert lines[: len(before)] == before
        assert [b'"chain":' in line for line in lines[len(before) :]] == [True] * 9
        assert again.vector()["north"] == expected["vector"]["north"] + 9
        assert len(again.segments("north")) == 5
        again.verify()


def test_the_golden_files_are_as_they_were_checked_in() -> None:
    for path in HERE.glob("golden*/log/*/*"):
        assert path.suffix in (".zst", ".ndjson"), f"{path} does not belong there"
