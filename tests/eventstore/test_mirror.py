"""A mirror is its home byte for byte, whatever comes, and in which pieces, and whatever the disk does meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rookery.eventstore import Log, LogWriteFailed, MirrorRefused, MirrorWriter, NotMirrored, NotOwn
from rookery.eventstore.manifest import Entry
from rookery.eventstore.signing import Signer, new_seed, signed
from rookery.tests.eventstore.deliveries import many, mixed
from rookery.tests.eventstore.faults import CountingDisk, Crash, DyingDisk, FullDisk

SEGMENT_EVENTS_MAX = 8
SIGNER = Signer(new_seed())


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Log]:
    """A log of 48 sealed lines and 9 that are not, in two files."""
    with Log.open(tmp_path / "home", own=("here",), segment_events_max=SEGMENT_EVENTS_MAX, signer=SIGNER) as log:
        log.append("here", mixed(60))
        log.seal_full_segments()
        log.append("here", many(5, first=61))
        yield log


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Log]:
    """One with two sealed segments and a few lines behind them: its every touch of the disk is gone through."""
    with Log.open(tmp_path / "small", own=("here",), segment_events_max=SEGMENT_EVENTS_MAX, signer=SIGNER) as log:
        log.append("here", mixed(21))
        log.seal_full_segments()
        yield log


def open_away(folder: Path, disk: CountingDisk | None = None) -> Log:
    return Log.open(folder / "away", own=("there",), segment_events_max=5, disk=disk or CountingDisk())


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Log]:
    with open_away(tmp_path) as log:
        yield log


def catch_up(home: Log, mirror: MirrorWriter, lines_at_once: int = 100) -> None:
    """What sync does, with a home that is at hand."""
    for line in home.manifest_lines("here", after=mirror.sealed):
        entry = msgspec.json.decode(line, type=Entry)
        if mirror.last >= entry.first:
            take_lines(home, mirror, entry.last, lines_at_once)
        if mirror.last < entry.first or not mirror.seal_as(line):
            mirror.take_segment(line, data_of(home, entry.first))
    take_lines(home, mirror, home.vector()["here"], lines_at_once)


def take_lines(home: Log, mirror: MirrorWriter, up_to: int, at_once: int) -> None:
    while mirror.last < up_to:
        first, last = home.segment_of("here", mirror.last + 1)
        end = min(last, up_to, mirror.last + at_once)
        mirror.take_lines(first, lines_of(home, mirror.last, end))


def lines_of(log: Log, after: int, last: int) -> list[bytes]:
    return [record.line for record in log.read("here", after=after, limit=last - after)]


def data_of(log: Log, first: int) -> bytes:
    return next(part.path.read_bytes() for part in log.segments("here") if part.first == first)


def files(log: Log, origin: str = "here") -> dict[str, bytes]:
    """Every byte that counts."""
    found = {path.name: path.read_bytes() for path in sorted((log.folder / origin).glob("*ndjson*"))}
    return {name: data for name, data in found.items() if data}


def test_a_mirror_is_its_home_byte_for_byte(home: Log, away: Log) -> None:
    catch_up(home, away.mirror("here"))
    assert files(away) == files(home)
    assert list(map(str, away.read("here"))) == list(map(str, home.read("here")))
    assert [*away.dead_letters()] == [*home.dead_letters()]
    assert away.find(["id-run-1"]) == home.find(["id-run-1"]) == {"id-run-1": ("here", 1)}
    assert away.vector() == home.vector()
    assert away.chain_at("here", 57) == home.chain_at("here", 57)


def test_a_mirror_that_is_opened_again_finds_what_it_has_by_its_id(home: Log, away: Log, tmp_path: Path) -> None:
    catch_up(home, away.mirror("here"))
    away.close()
    with open_away(tmp_path) as again, Log.open(again.folder, writable=False) as reader:
        assert again.find(["id-run-61", "id-run-1"]) == home.find(["id-run-61", "id-run-1"])
        assert files(again) == files(home) == files(reader)
        assert reader.vector() == home.vector()


def test_a_segment_of_which_lines_are_here_is_sealed_here(home: Log, away: Log) -> None:
    mirror = away.mirror("here")
    catch_up(home, mirror)
    home.append("here", many(20, first=100))
    catch_up(home, mirror, lines_at_once=3)
    assert mirror.sealed == 48
    home.seal_full_segments()
    (line, *_) = home.manifest_lines("here", after=48)
    assert mirror.seal_as(line)
    catch_up(home, mirror)
    assert mirror.sealed == 72
    assert files(away) == files(home)


def test_where_zstd_makes_other_bytes_the_homes_file_is_taken(
    home: Log, away: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = away.mirror("here")
    catch_up(home, mirror)
    with monkeypatch.context() as patched:
        patched.setattr("rookery.eventstore.frames.ZSTD_LEVEL", 19)
        home.seal_full_segments()
    (line,) = home.manifest_lines("here", after=48)
    assert not mirror.seal_as(line)
    assert mirror.take_segment(line, data_of(home, 49)) == 0
    assert files(away) == files(home)


def test_lines_that_lie_in_other_files_than_at_home_come_to_lie_as_there(home: Log, away: Log, tmp_path: Path) -> None:
    mirror = away.mirror("here")
    mirror.take_lines(1, lines_of(home, 0, 11))
    mirror.take_lines(12, lines_of(home, 11, 13))
    catch_up(home, mirror)
    assert files(away) == files(home)
    away.close()
    with open_away(tmp_path) as again:
        assert files(again) == files(home)
        assert again.find(["id-run-61"]) == home.find(["id-run-61"])


@pytest.mark.parametrize("lines_at_once", [1, 3, 100])
def test_what_is_no_event_is_known_as_soon_as_it_is_here(home: Log, away: Log, lines_at_once: int) -> None:
    """SQL reads a file as it is where every line in it is an event."""
    mirror = away.mirror("here")
    while mirror.last < home.vector()["here"]:
        take_lines(home, mirror, mirror.last + 1, lines_at_once)
        expected = [letter.n for letter in home.dead_letters("here") if letter.n <= mirror.last]
        assert [letter.n for letter in away.dead_letters("here")] == expected
        assert not expected or away.unsealed("here") == []


def test_what_is_here_already_is_passed_over(home: Log, away: Log) -> None:
    mirror = away.mirror("here")
    catch_up(home, mirror)
    before = files(away)
    assert mirror.take_lines(1, lines_of(home, 0, 57)) == 0
    assert mirror.take_lines(1, []) == 0
    for line in home.manifest_lines("here"):
        assert mirror.seal_as(line)
        assert mirror.take_segment(line, b"whatever") == 0
    assert files(away) == before


def test_own_and_mirrored_origins_are_kept_apart(home: Log, away: Log) -> None:
    with pytest.raises(NotMirrored):
        away.mirror("there")
    with pytest.raises(NotOwn):
        away.append("here", many(1))
    with pytest.raises(NotOwn):
        away.rewind("here")
    catch_up(home, away.mirror("here"))
    away.append("there", many(11))
    assert away.seal_full_segments() == 2
    assert not away.has_full_segments
    assert away.mirror("here").sealed == 48


Spoil = Callable[[list[bytes]], list[bytes]]


LIES: dict[str, Spoil] = {
    "an edited line": lambda lines: [lines[0].replace(b"2026-", b"2025-"), *lines[1:]],
    "swapped lines": lambda lines: [lines[1], lines[0], *lines[2:]],
    "a gap": lambda lines: lines[1:],
    "a line twice": lambda lines: [lines[0], lines[0], *lines[1:]],
    "a later gap": lambda lines: [lines[0], *lines[2:]],
    "half a line": lambda lines: [*lines[:-1], lines[-1][:40]],
    "a line that is cut": lambda lines: [*lines[:-1], lines[-1][:-2]],
    "no JSON": lambda lines: [*lines[:-1], lines[-1][:-1] + b"\x00\x00}"],
    "no UTF-8": lambda lines: [*lines[:-1], lines[-1][:-1] + b'\xff"}'],
    "nothing": lambda lines: [b""],
    "something else": lambda lines: [b'{"detail":"not found"}'],
    "no chain any more": lambda lines: [
        lines[0],
        lines[1][: lines[1].index(b'"chain"')] + lines[1][lines[1].index(b'"recorded') :],
    ],
}


@pytest.mark.parametrize("spoil", LIES.values(), ids=LIES)
@pytest.mark.parametrize("held", [0, 3])
def test_lines_that_are_not_the_next_are_refused_and_none_is_kept(
    home: Log, away: Log, spoil: Spoil, held: int
) -> None:
    mirror = away.mirror("here")
    mirror.take_lines(1, lines_of(home, 0, held))
    before = files(away)
    with pytest.raises(MirrorRefused):
        mirror.take_lines(1, spoil(lines_of(home, held, 8)))
    assert files(away) == before
    assert mirror.last == held
    catch_up(home, mirror)
    assert files(away) == files(home)


FORGERIES: dict[str, tuple[str, object]] = {
    "hash": ("sha256", "0" * 64),
    "size": ("compressed_bytes", 7),
    "lines' size": ("bytes", 10**9),
    "Merkle root": ("merkle_root", "0" * 64),
    "chain": ("chain", "0" * 16),
    "time": ("first_recordedtime", "2020-01-01T00:00:00Z"),
    "later time": ("last_recordedtime", "2020-01-01T00:00:00Z"),
    "beginning": ("first", 2),
    "end": ("last", 9),
    "events": ("events", 7),
    "line before": ("previous", "1" * 64),
    "signature": ("signature", "A" * 88),
    "signer": ("signer", Signer(new_seed()).public),
    "name": ("segment", "../../00000000000000000001.ndjson.zst"),
}


@pytest.mark.parametrize(("field", "value"), FORGERIES.values(), ids=FORGERIES)
@pytest.mark.parametrize("held", [0, 5, 8])
def test_a_forged_manifest_is_refused_and_nothing_is_kept(
    home: Log, away: Log, field: str, value: object, held: int
) -> None:
    mirror = away.mirror("here")
    mirror.take_lines(1, lines_of(home, 0, held))
    before = files(away)
    told = msgspec.json.decode(home.manifest_lines("here")[0])
    forged = msgspec.json.encode(told | {field: value})
    with pytest.raises(MirrorRefused):
        assert mirror.seal_as(forged) or mirror.take_segment(forged, data_of(home, 1))
    assert files(away) == before
    catch_up(home, mirror)
    assert files(away) == files(home)


@pytest.mark.parametrize("held", [0, 5, 8])
def test_a_manifest_that_is_forged_and_signed_anew_is_held_against_the_segment(home: Log, away: Log, held: int) -> None:
    mirror = away.mirror("here")
    mirror.take_lines(1, lines_of(home, 0, held))
    forger = Signer(new_seed())
    told = msgspec.json.decode(home.manifest_lines("here")[0]) | {"merkle_root": "0" * 64, "signer": forger.public}
    del told["signature"]
    forged = signed(msgspec.json.encode(told), forger)
    with pytest.raises(MirrorRefused):
        assert mirror.seal_as(forged) or mirror.take_segment(forged, data_of(home, 1))
    catch_up(home, mirror)
    assert files(away) == files(home)


def test_a_line_of_the_manifest_that_says_more_than_there_is_to_say_is_refused(home: Log, away: Log) -> None:
    """It would be kept, and sent on, for ever."""
    talker = Signer(new_seed())
    told = msgspec.json.decode(home.manifest_lines("here")[0]) | {"signer": talker.public, "note": "x" * 4_096}
    del told["signature"]
    line = signed(msgspec.json.encode(told), talker)
    mirror = away.mirror("here")
    with pytest.raises(MirrorRefused, match="longer than"):
        mirror.take_segment(line, data_of(home, 1))
    catch_up(home, mirror)
    assert files(away) == files(home)


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[:-1] + b"x", lambda data: b""])
def test_a_segment_of_other_bytes_is_refused(home: Log, away: Log, spoil: Callable[[bytes], bytes]) -> None:
    mirror = away.mirror("here")
    with pytest.raises(MirrorRefused):
        mirror.take_segment(home.manifest_lines("here")[0], spoil(data_of(home, 1)))
    assert files(away) == {}
    catch_up(home, mirror)
    assert files(away) == files(home)


def test_a_file_that_holds_the_same_lines_in_other_bytes_is_refused(home: Log, away: Log) -> None:
    data = bytearray(data_of(home, 1))
    data[-5] ^= 1  # the seek table's descriptor, which no reader of the lines looks at
    mirror = away.mirror("here")
    with pytest.raises(MirrorRefused, match="hash is not the manifest's"):
        mirror.take_segment(home.manifest_lines("here")[0], bytes(data))
    assert mirror.last == 0


def test_a_segment_of_another_history_is_refused(home: Log, away: Log, tmp_path: Path) -> None:
    with Log.open(tmp_path / "other", segment_events_max=SEGMENT_EVENTS_MAX) as other:
        other.append("here", many(8))
        other.seal_full_segments()
        mirror = away.mirror("here")
        mirror.take_lines(1, lines_of(home, 0, 5))
        before = files(away)
        with pytest.raises(MirrorRefused, match="another line"):
            mirror.take_segment(other.manifest_lines("here")[0], data_of(other, 1))
        assert not mirror.seal_as(other.manifest_lines("here")[0])
        assert files(away) == before
        catch_up(home, mirror)
        with pytest.raises(MirrorRefused, match="another line of the manifest"):
            mirror.seal_as(other.manifest_lines("here")[0])


def work(home: Log, away: Log) -> None:
    """All that a mirror does: lines, segments whole and sealed here, and files that are cut elsewhere than at home."""
    mirror = away.mirror("here")
    mirror.take_lines(1, lines_of(home, 0, 3))
    line, *_ = home.manifest_lines("here")
    if not mirror.sealed:
        mirror.take_lines(1, lines_of(home, 3, 11))
        mirror.take_segment(line, data_of(home, 1))
    catch_up(home, mirror)


def touches_of_the_work(small: Log, folder: Path) -> int:
    disk = CountingDisk()
    with open_away(folder, disk) as away:
        work(small, away)
    return disk.touches


@pytest.mark.parametrize("refusals", [1, 3])
def test_a_refused_touch_loses_nothing(small: Log, tmp_path: Path, refusals: int) -> None:
    for first in range(1, touches_of_the_work(small, tmp_path / "counted") + 1):
        disk = FullDisk(first, first + refusals - 1)
        while True:
            with suppress(LogWriteFailed), open_away(tmp_path / str(first), disk) as away:
                while True:
                    try:
                        work(small, away)
                    except LogWriteFailed:
                        assert_whole(small, away)
                    else:
                        break
                assert_whole(small, away)
                break
        with open_away(tmp_path / str(first)) as away:
            assert files(away) == files(small), f"after a refusal of touch {first}"


@pytest.mark.parametrize("loses_unsynced", [False, True], ids=["process", "machine"])
def test_a_crash_at_any_touch_leaves_a_whole_shorter_log(small: Log, tmp_path: Path, loses_unsynced: bool) -> None:
    for first in range(1, touches_of_the_work(small, tmp_path / "counted") + 1):
        folder = tmp_path / str(first)
        with pytest.raises(Crash):
            crash(small, open_away(folder, DyingDisk(first, loses_unsynced=loses_unsynced)))
        with open_away(folder) as away:
            assert_whole(small, away)
            work(small, away)
            assert files(away) == files(small), f"after a crash at touch {first}"


def crash(home: Log, away: Log) -> None:
    work(home, away)
    away.close()


def assert_whole(home: Log, away: Log) -> None:
    last = away.vector().get("here", 0)
    assert lines_of(away, 0, last) == lines_of(home, 0, last)
    assert len(lines_of(home, 0, last)) == last


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_pieces_in_any_order_make_the_same_mirror(
    data: st.DataObject, home: Log, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As from several peers at once: what does not fit is refused, and what fits is taken."""
    with open_away(tmp_path_factory.mktemp("pieces")) as away:
        mirror = away.mirror("here")
        for _ in range(data.draw(st.integers(0, 12))):
            after, count = data.draw(st.integers(0, 56)), data.draw(st.integers(1, 12))
            line = data.draw(st.sampled_from(home.manifest_lines("here")))
            border = data.draw(st.integers(1, 57))
            with suppress(MirrorRefused):
                match data.draw(st.sampled_from(["lines", "whole", "seal"])):
                    case "lines":
                        mirror.take_lines(border, lines_of(home, after, min(after + count, 57)))
                    case "whole":
                        mirror.take_segment(line, data_of(home, msgspec.json.decode(line)["first"]))
                    case "seal":
                        mirror.seal_as(line)
            assert_whole(home, away)
        catch_up(home, mirror)
        assert lines_of(away, 0, 57) == lines_of(home, 0, 57)
        assert mirror.sealed == 48
        home_sealed = {name: content for name, content in files(home).items() if not name.endswith(".ndjson")}
        assert home_sealed.items() <= files(away).items()
