"""The log as its callers see it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.bus import Delivery
from rookery.eventstore import (
    Appended,
    Disk,
    InvalidOrigin,
    Log,
    LogClosed,
    LogLocked,
    LogReadOnly,
    UnknownLine,
)
from rookery.eventstore.line import event_line
from rookery.eventstore.writer import OriginWriter
from rookery.schemas import encode, subject_of
from rookery.tests.eventstore.deliveries import (
    NOON,
    UNKNOWN,
    UNKNOWN_SUBJECT,
    deliver,
    event,
    gizmos_known,
    many,
    mixed,
    moment,
    raw,
    superseded,
    unknown,
)


def payloads(log: Log, origin: str = "here", **wanted: Any) -> list[bytes]:
    return [record.payload for record in log.read(origin, **wanted)]


def test_what_was_appended_is_read_at_its_address(log: Log) -> None:
    given = many(5)
    assert log.append("here", given) == Appended(1, 5, 5, 0)
    records = list(log.read("here"))
    assert [(record.origin, record.n, record.sequence) for record in records] == [("here", n, n) for n in range(1, 6)]
    assert [record.recorded_time for record in records] == [moment(n) for n in range(1, 6)]
    assert [record.payload for record in records] == [delivery.payload for delivery in given]
    assert [log.get("here", n) for n in range(1, 6)] == records
    assert log.get("here", 0) is None
    assert log.get("here", 6) is None
    assert log.get("nowhere", 1) is None
    assert log.vector() == {"here": 5}
    assert log.bus_sequence("here") == 5
    assert log.bus_sequence("nowhere") == 0


def test_reading_begins_after_and_ends_at_the_limit(log: Log) -> None:
    log.append("here", many(20))
    for after in range(21):
        for limit in (0, 1, 7, None):
            expected = list(range(1, 21))[after : None if limit is None else after + limit]
            assert [record.n for record in log.read("here", after=after, limit=limit)] == expected


def test_a_delivery_that_the_log_holds_is_skipped_by_its_sequence(log: Log) -> None:
    given = many(10)
    log.append("here", given[:6])
    assert log.append("here", given) == Appended(7, 10, 4, 0)
    assert log.append("here", given) == Appended(11, 10, 0, 0)
    assert payloads(log) == [delivery.payload for delivery in given]


def test_an_event_that_comes_again_is_a_duplicate(log: Log) -> None:
    log.append("here", many(12))
    log.seal_full_segments()
    again = [delivery._replace(sequence=delivery.sequence + 12) for delivery in many(12)]
    assert log.append("here", again) == Appended(13, 12, 0, 12)
    assert log.bus_sequence("here") == 24
    twice = deliver(30, event("new"))
    assert log.append("here", [twice, twice._replace(sequence=31)]) == Appended(13, 13, 1, 1)


def test_an_id_that_is_used_again_makes_a_dead_letter(log: Log) -> None:
    first, second = event("a", id="same", at=1), event("b", id="same", at=2)
    log.append("here", [deliver(1, first), deliver(2, second)])
    log.append("here", [deliver(3, event("c", id="same", at=3))])
    letters = list(log.dead_letters())
    assert [(letter.n, letter.reason, letter.field, letter.id) for letter in letters] == [
        (2, "id already used by here:1", "id", "same"),
        (3, "id already used by here:1", "id", "same"),
    ]
    assert letters[0].payload == encode(second)
    assert log.find(["same"]) == {"same": ("here", 1)}


def test_reading_the_bus_again_from_its_start_adds_nothing(log: Log) -> None:
    given = mixed(50)
    log.append("here", given)
    before = payloads(log)
    log.rewind("here")
    assert log.bus_sequence("here") == 0
    assert log.append("here", given).events == 0
    assert payloads(log) == before


@pytest.mark.parametrize(
    ("delivery", "reason", "field", "type"),
    [
        (raw(1, b"not JSON"), "JSON is malformed", "", None),
        (raw(1, b'{"n":1,"specversion":"1.0"}'), "missing required field", "id", None),
        (raw(1, b""), "truncated", "", None),
        (raw(1, b"{}"), "missing required field", "specversion", None),
        (unknown(1), "unknown event type 'gizmo.turned'", "type", "gizmo.turned"),
        (raw(1, (UNKNOWN % 1).replace(b"{", b'{"n":5,', 1), "evt.gizmo.g.turned.coder-7"), "the log's own", "n", None),
        (raw(1, (UNKNOWN % 1).replace(b"{", b'{"chain":"5",', 1), UNKNOWN_SUBJECT), "the log's own", "chain", None),
        (raw(1, (UNKNOWN % 1).replace(b",", b",\n"), "evt.gizmo.g.turned.coder-7"), "one line", "", None),
        (raw(1, (UNKNOWN % 1).replace(b":7}", b':"\xff"}'), "evt.gizmo.g.turned.coder-7"), "utf-8", "", None),
        (
            deliver(1, event("r"), subject="evt.run.r.completed.mallory"),
            "published by 'mallory', but its source is '/agents/coder-7'",
            "source",
            "run.completed",
        ),
        (
            deliver(1, event("r"), subject="evt.run.other.completed.coder-7"),
            "it belongs on 'evt.run.r.completed.coder-7'",
            "subject",
            "run.completed",
        ),
        (
            raw(1, encode(event("r")).replace(b'"reward":0.5', b'"reward":"much"')),
            "Expected `float | null`, got `str`",
            "data.reward",
            "run.completed",
        ),
    ],
)
def test_what_is_not_a_valid_event_is_kept_and_listed(
    log: Log, delivery: Delivery, reason: str, field: str, type: str | None
) -> None:
    log.append("here", [delivery, deliver(2, event("good"))])
    (letter,) = log.dead_letters()
    assert reason in letter.reason
    assert (letter.origin, letter.n, letter.field, letter.recorded_time) == ("here", 1, field, moment(1))
    assert letter.payload == delivery.payload
    assert payloads(log)[0] == delivery.payload
    if type:
        assert letter.type == type


def test_what_is_forged_never_stands_in_the_log_as_an_event(log: Log) -> None:
    log.append("here", [deliver(1, event("r", id="forged"), subject="evt.run.r.completed.mallory")])
    (record,) = log.read("here")
    assert set(msgspec.json.decode(record.line)) == {"n", "seq", "chain", "recordedtime", "undecodable", "natssubject"}
    assert log.find(["forged"]) == {}
    assert log.append("here", [deliver(2, event("r", id="forged"))]).events == 1


@settings(deadline=None, max_examples=50)
@given(around=st.lists(st.sampled_from([b"", b" ", b"\t", b"\n", b"\r", b"\x0c"]), min_size=4, max_size=4))
def test_a_log_opens_again_whatever_white_space_came(
    tmp_path_factory: pytest.TempPathFactory, around: list[bytes]
) -> None:
    before, inside, between, behind = around
    payload = (
        before + encode(event("r")).replace(b'{"', b"{" + inside + b'"', 1).replace(b",", between + b",", 1) + behind
    )
    folder = tmp_path_factory.mktemp("log")
    with Log.open(folder) as log:
        log.append("here", [raw(1, payload, subject_of(event("r")))])
    with Log.open(folder) as log:
        assert payloads(log) == [payload]


def test_ids_whose_hashes_are_the_same_are_told_apart(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.eventstore.admission.event_key", lambda _: 7)
    monkeypatch.setattr("rookery.eventstore.origin.event_key", lambda _: 7)
    given = many(3)
    again = [delivery._replace(sequence=delivery.sequence + 3) for delivery in given]
    assert log.append("here", [*given, *again]) == Appended(1, 3, 3, 3)
    assert log.append("here", [delivery._replace(sequence=delivery.sequence + 6) for delivery in given]).duplicates == 3
    assert log.find(["id-run-1", "id-run-3"]) == {"id-run-1": ("here", 1), "id-run-3": ("here", 3)}


def test_a_type_that_becomes_known_leaves_the_dead_letters(log: Log) -> None:
    log.append("here", [unknown(at) for at in range(1, 12)])
    log.seal_full_segments()
    assert len(list(log.dead_letters())) == 11
    assert not log.segments("here")[0].plain

    with gizmos_known():
        assert list(log.dead_letters()) == []
        assert log.segments("here")[0].plain
    assert len(list(log.dead_letters())) == 11


def test_a_segment_is_plain_if_sql_may_read_it_as_it_is(log: Log) -> None:
    log.append("here", many(8))
    log.append("here", [deliver(9, superseded("x")), *many(7, first=10)])
    log.append("here", [unknown(17), *many(7, first=18)])
    log.append("here", many(3, first=25))
    log.seal_full_segments()
    segments = log.segments("here")
    assert [(part.first, part.last, part.plain) for part in segments] == [
        (1, 8, True),
        (9, 16, False),
        (17, 24, False),
    ]
    assert [part.path for part in segments] == log.files()[:3]
    assert [part.first for part in log.segments("here", after=8)] == [9, 17]
    assert [part.first for part in log.segments("here", after=15)] == [9, 17]
    assert log.segments("here", after=24) == []
    assert log.segments("nowhere") == []


def test_side_cars_are_made_again_when_they_are_missing_or_broken(log: Log, tmp_path: Path) -> None:
    log.append("here", [unknown(1), *many(7, first=2)])
    log.seal_full_segments()
    side_car = tmp_path / "log" / "here" / "00000000000000000001.index.json"
    whole = side_car.read_bytes()
    for left in (None, b"", b"{}", whole[:-5]):
        side_car.unlink() if left is None else side_car.write_bytes(left)
        log.close()
        log = Log.open(tmp_path / "log", segment_events_max=8)
        assert [letter.n for letter in log.dead_letters()] == [1]
        assert side_car.read_bytes() == whole
    log.close()


@settings(deadline=None, max_examples=30)
@given(given=st.lists(st.tuples(st.binary(max_size=60), st.text(max_size=20)), max_size=20))
def test_any_bytes_are_kept_exactly(tmp_path_factory: pytest.TempPathFactory, given: list[tuple[bytes, str]]) -> None:
    deliveries = [Delivery(at, subject, payload, NOON) for at, (payload, subject) in enumerate(given, 1)]
    with Log.open(tmp_path_factory.mktemp("log"), segment_events_max=5) as log:
        appended = log.append("here", deliveries)
        log.seal_full_segments()
        assert payloads(log) == [payload for payload, _ in dict.fromkeys(given)]
        assert appended.events + appended.duplicates == len(given)
        assert len(list(log.dead_letters())) == appended.events


@settings(deadline=None, max_examples=20)
@given(
    cuts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.booleans(), st.booleans()), max_size=6),
)
def test_any_batching_and_redelivery_gives_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, int, bool, bool]]
) -> None:
    given = mixed(40)
    folder = tmp_path_factory.mktemp("log")
    log = Log.open(folder, segment_events_max=8)
    for begin, end, seal, reopen in cuts:
        held = log.bus_sequence("here")
        log.append("here", given[min(begin, held) : end])
        if seal:
            log.seal_full_segments()
        if reopen:
            log.close()
            log = Log.open(folder, segment_events_max=8)
    log.append("here", given)
    log.seal_full_segments()
    log.close()
    assert files_of(folder) == files_in_one_go(tmp_path_factory.mktemp("log"))


def files_in_one_go(folder: Path) -> dict[str, bytes]:
    with Log.open(folder, segment_events_max=8) as log:
        log.append("here", mixed(40))
        log.seal_full_segments()
    return files_of(folder)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "here").glob("*ndjson*")}


def test_equal_chains_mean_equal_lines_up_to_there(log: Log, tmp_path: Path) -> None:
    log.append("here", mixed(30))
    log.seal_full_segments()
    with Log.open(tmp_path / "same") as same, Log.open(tmp_path / "other") as other:
        same.append("here", mixed(30))
        other.append("here", [*mixed(9), raw(10, b"another"), *mixed(30)[10:]])
        for n in range(log.vector()["here"] + 1):
            assert log.chain_at("here", n) == same.chain_at("here", n)
            assert (log.chain_at("here", n) == other.chain_at("here", n)) == (n < 9)
    assert log.chain_at("nowhere", 0) == "0" * 16
    for origin, n in [("here", 30), ("here", -1), ("nowhere", 1)]:
        with pytest.raises(UnknownLine, match=f"no line {origin}:{n}"):
            log.chain_at(origin, n)


def test_large_events_fill_a_segment_by_their_size(tmp_path: Path) -> None:
    with Log.open(tmp_path, segment_size_bytes_max=2_000) as log:
        log.append("here", many(100))
        assert log.seal_full_segments() > 5
        assert [record.n for record in log.read("here")] == list(range(1, 101))


@pytest.mark.parametrize("origin", ["", ".", "..", ".hidden", "a/b", "a b", "a:b", "ä", "x" * 64, "-a", "a\n"])
def test_an_origin_that_cannot_be_a_folder_is_refused(log: Log, origin: str) -> None:
    with pytest.raises(InvalidOrigin):
        log.append(origin, many(1))
    assert log.origins() == []


def test_an_origin_has_one_writer(log: Log, tmp_path: Path) -> None:
    log.append("here", many(1))
    with pytest.raises(LogLocked, match="stop that one"):
        Log.open(tmp_path / "log")
    log.close()
    Log.open(tmp_path / "log").close()


def test_a_closed_log_is_let_go_for_good(log: Log, tmp_path: Path) -> None:
    log.append("here", many(20))
    (writer,) = log._origins.values()
    assert isinstance(writer, OriginWriter)
    log.close()
    log.close()
    with Log.open(tmp_path / "log", segment_events_max=8) as other:
        late: list[Callable[[], object]] = [
            lambda: log.append("here", many(21)),
            lambda: writer.append(many(21)),
            lambda: writer.find(["id-run-1"]),
            writer.seal_full_segments,
        ]
        for call in late:
            with pytest.raises(LogClosed, match="open the log again"):
                call()
        assert other.vector() == {"here": 20}
        assert other.segments("here") == []


def test_a_reader_beside_the_writer_sees_what_is_durable(log: Log, tmp_path: Path) -> None:
    log.append("here", many(3))
    reader = Log.open(tmp_path / "log", writable=False)
    assert payloads(reader) == payloads(log)
    log.append("here", many(20))
    assert reader.bus_sequence("here") == 20
    assert reader.vector() == {"here": 20}
    reading = reader.read("here")
    assert next(reading).n == 1
    log.seal_full_segments()
    assert [record.n for record in reading] == list(range(2, 21))
    assert [part.last for part in reader.segments("here")] == [8, 16]
    log.append("there", many(1))
    assert reader.vector() == {"here": 20, "there": 1}
    assert reader.find(["id-run-20"]) == {"id-run-20": ("here", 20)}
    assert reader.bus_sequence("here") == 20
    with pytest.raises(LogReadOnly):
        reader.append("here", many(21))
    reader.close()


class MeanwhileDisk(Disk):
    """A disk on which something happens just before a folder is listed."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self.meanwhile = meanwhile

    def names(self, folder: Path) -> list[str]:
        if folder.name == "here":
            self.meanwhile()
        return super().names(folder)


def test_a_reader_knows_the_dead_letters_that_its_writer_knows_while_the_log_grows(log: Log, tmp_path: Path) -> None:
    given = mixed(60)
    with Log.open(tmp_path / "log", writable=False) as reader:
        for begin in range(0, len(given), 7):
            log.append("here", given[begin : begin + 7])
            assert list(reader.dead_letters()) == list(log.dead_letters())
            if begin == 28:
                log.seal_full_segments()
        assert reader.dead_events() == log.dead_events() > 0


def test_a_reader_that_looks_while_a_segment_is_sealed_looks_again(log: Log, tmp_path: Path) -> None:
    log.append("here", many(20))
    with Log.open(tmp_path / "log", writable=False, disk=MeanwhileDisk(log.seal_full_segments)) as reader:
        assert payloads(reader) == payloads(log)
        assert [part.last for part in reader.segments("here")] == [8, 16]


def test_a_reader_does_not_see_what_the_writer_has_not_made_durable(log: Log, tmp_path: Path) -> None:
    log.append("here", many(3))
    (open_file,) = log.files()
    with open_file.open("ab") as file:
        file.write(event_line(4, 4, NOON, encode(event("x")), log.chain_at("here", 3)) + b'\n{"n":5')
    reader = Log.open(tmp_path / "log", writable=False)
    assert reader.vector() == {"here": 3}
    assert payloads(reader) == payloads(log)
    reader.close()


def test_an_entity_may_have_any_name_that_its_subject_escapes(log: Log) -> None:
    odd = event("a.b *>ö", id="odd")
    log.append("here", [deliver(1, odd)])
    assert list(log.dead_letters()) == []
    assert subject_of(odd) == "evt.run.a%2Eb%20%2A%3E%C3%B6.completed.coder-7"
    assert payloads(log) == [encode(odd)]


def test_sealing_is_paced_where_one_segment_waits_and_not_where_it_has_fallen_behind(log: Log) -> None:
    worked: list[float] = []
    log.append("here", many(8))
    assert log.seal_full_segments(worked.append) == 1
    assert len(worked) >= 1
    worked.clear()
    log.append("here", many(16, first=9))
    assert log.seal_full_segments(worked.append) == 2
    assert not worked
