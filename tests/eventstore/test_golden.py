"""A log as the first version wrote it, checked in: it must read the same for ever.

Never write these files anew. Where a later version writes another form, it gets a golden folder of its own.
"""

from __future__ import annotations

import json
import shutil
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from rookery.eventstore import Log
from rookery.eventstore.merkle import MerkleTree
from rookery.schemas import FeedbackGiven, decode

GOLDEN = Path(__file__).parent / "golden"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())


@pytest.fixture(params=["reading", "writing"])
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    folder = tmp_path / "log"
    shutil.copytree(GOLDEN / "log", folder)
    with Log.open(folder, writable=request.param == "writing", segment_events_max=4) as log:
        yield log


def test_every_record_is_what_it_was(golden: Log) -> None:
    records = [record for origin in golden.origins() for record in golden.read(origin)]
    assert golden.vector() == EXPECTED["vector"]
    assert [
        {
            "origin": record.origin,
            "n": record.n,
            "sequence": record.sequence,
            "recorded_time": record.recorded_time.isoformat(),
            "payload_base64": b64encode(record.payload).decode(),
        }
        for record in records
    ] == EXPECTED["records"]
    assert [golden.get(record.origin, record.n) for record in records] == records


def test_the_dead_are_the_same(golden: Log) -> None:
    letters = [{"origin": dead.origin, "n": dead.n, "field": dead.field} for dead in golden.dead_letters()]
    assert letters == EXPECTED["dead_letters"]


def test_the_first_version_of_feedback_reads_as_the_newest(golden: Log) -> None:
    (record,) = golden.search(types=["feedback.given"])
    assert decode(record.payload).payload() == FeedbackGiven(kind="score", run_id="run-9", score=0.75)


def test_the_integrity_chain_holds(golden: Log) -> None:
    manifest = (golden.folder / "north" / "manifest.ndjson").read_bytes()
    assert sha256(manifest).hexdigest() == EXPECTED["manifest_sha256"]
    for line, root in zip(manifest.splitlines(), EXPECTED["merkle_roots"], strict=True):
        entry = json.loads(line)
        tree = MerkleTree()
        for record in golden.read("north", after=entry["first"] - 1, limit=entry["events"]):
            tree.add(record.line)
        assert tree.root() == entry["merkle_root"] == root
        assert sha256((golden.folder / "north" / entry["segment"]).read_bytes()).hexdigest() == entry["sha256"]


def test_the_golden_files_are_as_they_were_checked_in() -> None:
    for path in GOLDEN.glob("log/*/*"):
        assert path.suffix in (".zst", ".ndjson"), f"{path} does not belong there"
