"""Verification: whatever is wrong is named, with its place and all else that is wrong, and nothing sound is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.eventstore import Log, LogDamaged, LogWriteFailed, Signer
from rookery.eventstore.disk import Disk
from rookery.eventstore.frames import FramedFile, compress
from rookery.eventstore.line import NO_CHAIN, Chain, chain_span, event_line
from rookery.eventstore.manifest import BEFORE_THE_FIRST, Entry
from rookery.eventstore.merkle import leaf_hash, root_of
from rookery.eventstore.signing import is_signed, new_seed, signed
from rookery.eventstore.verification import Finding, bytes_to_verify, verify
from rookery.eventstore.verification.lines import SealedLines
from rookery.tests.eventstore.deliveries import NOON, many, mixed, raw
from rookery.tests.eventstore.test_log import MeanwhileDisk
from rookery.tests.eventstore.test_recovery import cut_lines, flip, swap_payloads

FIRST, SECOND, OPEN = (f"{first:020}.ndjson" for first in (1, 9, 17))
SEALED = f"{SECOND}.zst"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed log of two sealed segments and an open one with four lines."""
    folder = tmp_path_factory.mktemp("sound")
    with opened(folder) as log:
        log.append("here", many(20))
        log.seal_full_segments()
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "log")


KEY = Signer(new_seed())


def opened(folder: Path, signer: Signer | None = KEY) -> Log:
    return Log.open(folder, segment_events_max=8, signer=signer)


def place(finding: Finding) -> tuple[str, str, int | None, int | None]:
    return finding.kind, finding.file.removeprefix("here/"), finding.first, finding.last


def edit(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) >= 1
    path.write_bytes(data.replace(old, new, 1))


def recompress(path: Path, old: bytes, new: bytes) -> None:
    """Edit the lines of a sealed file, and seal them as they were."""
    file = FramedFile(path, Disk())
    block = b"\n".join(line for frame in file.frames for line in file.decode(frame))
    assert old in block
    path.write_bytes(b"".join(compress(block.replace(old, new).split(b"\n"))))


def rewrite_manifest(here: Path, signer: Signer) -> None:
    """What somebody with another key would write, were the files theirs."""
    lines = []
    for line in (here / "manifest.ndjson").read_bytes().splitlines():
        entry = json.loads(line)
        del entry["signature"]
        lines.append(signed(json.dumps(entry | {"signer": signer.public}, separators=(",", ":")).encode(), signer))
    (here / "manifest.ndjson").write_bytes(b"".join(line + b"\n" for line in lines))


DAMAGES: dict[str, tuple[Callable[[Path], object], set[tuple[str, str, int | None, int | None]]]] = {
    "a manifest line is no JSON": (
        lambda here: flip(here / "manifest.ndjson", 0),
        {
            ("manifest_altered", "manifest.ndjson", None, None),
            ("manifest_altered", "manifest.ndjson", 9, 16),
            ("segment_unknown", f"{FIRST}.zst", None, None),
        },
    ),
    "a manifest line is edited": (
        lambda here: edit(here / "manifest.ndjson", b'"bytes":', b'"bytes":1'),
        {
            ("manifest_signature", "manifest.ndjson", 1, 8),
            ("manifest_altered", "manifest.ndjson", 9, 16),
        },
    ),
    "the manifest is somebody else's": (
        lambda here: rewrite_manifest(here, Signer(new_seed())),
        {("manifest_altered", "manifest.ndjson", 9, 16)},
    ),
    "a segment is gone": (
        lambda here: (here / SEALED).unlink(),
        {("segment_missing", SEALED, 9, 16)},
    ),
    "a segment is cut short": (
        lambda here: (here / SEALED).write_bytes((here / SEALED).read_bytes()[:-9]),
        {("segment_altered", SEALED, 9, 16)},
    ),
    "a bit of a segment is flipped": (
        lambda here: flip(here / SEALED, 60),
        {("segment_altered", SEALED, 9, 16)},
    ),
    "a sealed line is edited": (
        lambda here: recompress(here / SEALED, b'"n":12,', b'"n":12 ,'),
        {("segment_altered", SEALED, 12, 13)},
    ),
    "the manifest is gone": (
        lambda here: (here / "manifest.ndjson").unlink(),
        {
            ("segment_unknown", f"{FIRST}.zst", None, None),
            ("segment_unknown", SEALED, None, None),
            ("lines_missing", OPEN, 1, 16),
        },
    ),
    "an open line is altered": (
        lambda here: flip(here / OPEN, 1_000),
        {("lines_altered", OPEN, 20, 20)},
    ),
    "open lines are swapped": (
        lambda here: swap_payloads(here / OPEN),
        {("lines_altered", OPEN, 17, 18)},
    ),
    "an open line is gone": (
        lambda here: cut_lines(here / OPEN, 1, 2),
        {("lines_missing", OPEN, 18, 18)},
    ),
    "the last lines are gone": (
        lambda here: cut_lines(here / OPEN, 2, 4),
        {("lines_missing", OPEN, 19, 20)},
    ),
    "what was promised is another number": (
        lambda here: (here / "writer.lock").write_bytes(b"%020d\n" % 4),
        {("position_damaged", "writer.lock", None, None)},
    ),
    "a summary is cut short": (
        lambda here: (here / f"{9:020}.index.json").write_bytes(b"{"),
        {("summary_damaged", f"{9:020}.index.json", 9, 16)},
    ),
    "hashes are another segment's": (
        lambda here: shutil.copy(here / f"{1:020}.merkle", here / f"{9:020}.merkle"),
        {("blocks_damaged", f"{9:020}.merkle", 9, 16)},
    ),
    "the ids are no database": (
        lambda here: (here / "ids.sqlite").write_bytes(b"x" * 4_096),
        {("ids_damaged", "ids.sqlite", None, None)},
    ),
    "what the archive has can't be read": (
        lambda here: (here / "archive.json").write_bytes(b"{"),
        {("archive_note_damaged", "archive.json", None, None)},
    ),
}


@pytest.mark.parametrize(("damage", "expected"), DAMAGES.values(), ids=DAMAGES)
def test_each_damage_is_named_exactly_and_nothing_else(
    folder: Path, damage: Callable[[Path], object], expected: set[tuple[str, str, int | None, int | None]]
) -> None:
    assert list(verify(folder, deep=True)) == []
    damage(folder / "here")
    findings = list(verify(folder))
    assert {place(finding) for finding in findings} == expected
    assert all(finding.what and finding.remedy and finding.origin == "here" for finding in findings)
    assert {place(finding) for finding in verify(folder, deep=True)} >= expected
    assert list(verify(folder, origins=["elsewhere"])) == []


def test_all_that_is_wrong_is_told_and_not_the_first_alone(folder: Path) -> None:
    for name, at in [(f"{FIRST}.zst", 60), (SEALED, 60), (OPEN, 1_000)]:
        flip(folder / "here" / name, at)
    assert [place(finding)[0] for finding in verify(folder)] == ["segment_altered", "segment_altered", "lines_altered"]


def test_a_flipped_bit_anywhere_is_detected_or_harmless(folder: Path) -> None:
    here = folder / "here"
    for path in sorted(here.iterdir()):
        whole = path.read_bytes()
        step = max(32, len(whole) // 24 // 32 * 32)
        for at in range(0, len(whole), step):
            flip(path, at)
            assert list(verify(folder, deep=True)) or is_harmless(path, at), f"{path.name} at {at}"
            path.write_bytes(whole)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_whatever_happens_to_a_file_that_is_not_derived_is_found_and_raises_nothing(
    sound: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = shutil.copytree(sound, tmp_path_factory.mktemp("log") / "log")
    path = folder / "here" / data.draw(st.sampled_from([f"{FIRST}.zst", SEALED, OPEN, "manifest.ndjson"]))
    whole = path.read_bytes()
    begin = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.integers(0, min(len(whole) - begin, 400)))
    changed = (
        whole[:begin] + data.draw(st.binary(max_size=60) | st.just(whole[begin : begin + 300])) + whole[begin + cut :]
    )
    path.write_bytes(changed)
    assert list(verify(folder, deep=data.draw(st.booleans()))) or changed == whole or is_torn(path.name, changed, whole)


def is_torn(name: str, changed: bytes, whole: bytes) -> bool:
    """What is behind the last whole line is what a crash leaves, and no line."""
    return name in (OPEN, "manifest.ndjson") and changed.startswith(whole) and b"\n" not in changed[len(whole) :]


def is_harmless(path: Path, at: int) -> bool:
    """An index of ids has room that nothing is in; a summary of other schemas, by its fingerprint, is made again."""
    return path.name == "ids.sqlite" or (path.name.endswith(".index.json") and at < 80)


def test_sealed_lines_that_were_edited_with_their_manifest_break_their_chain(tmp_path: Path) -> None:
    """Who has the key can write a manifest; the lines still have to fit each other, and each segment the next."""
    with opened(tmp_path / "log") as log, opened(tmp_path / "other") as other:
        log.append("here", many(20))
        other.append("here", [raw(1, b"another"), *many(20)[1:]])
        log.seal_full_segments()
        other.seal_full_segments()
    for name in (f"{FIRST}.zst", "manifest.ndjson"):
        data = (tmp_path / "other" / "here" / name).read_bytes()
        lines = data.splitlines(keepends=True) if name == "manifest.ndjson" else [data]
        if name == "manifest.ndjson":
            ours = (tmp_path / "log" / "here" / name).read_bytes().splitlines()[1]
            entry = json.loads(ours) | {"previous": json.loads(lines[1])["previous"]}
            del entry["signature"]
            lines[1] = signed(json.dumps(entry, separators=(",", ":")).encode(), KEY) + b"\n"
        (tmp_path / "log" / "here" / name).write_bytes(b"".join(lines))
    assert not [finding for finding in verify(tmp_path / "log") if not finding.derived]
    found = [place(finding) for finding in verify(tmp_path / "log", deep=True) if not finding.derived]
    assert found == [("lines_altered", SEALED, 9, 9)]


def test_a_line_that_nobody_can_parse_is_found_although_its_chain_is_right(tmp_path: Path) -> None:
    lines, chain = list[bytes](), NO_CHAIN
    for n, day in enumerate([b"2026-11-20", b"2026-02-30", b"2026-11-20"], 1):
        line = event_line(n, n, NOON, b'{"id":"x"}', chain)
        begin, end = chain_span(line) or (0, 0)
        rest = line[end:].replace(b"2026-11-20", day)
        chain = sha256(chain.encode() + line[:begin] + rest).hexdigest()[:16]
        lines.append(b'%s"chain":"%s",%s' % (line[:begin], chain.encode(), rest))
    path = tmp_path / f"{FIRST}.zst"
    path.write_bytes(b"".join(compress(lines)))
    entry = Entry(
        segment=path.name,
        first=1,
        last=3,
        events=3,
        bytes=sum(map(len, lines)) + 3,
        compressed_bytes=path.stat().st_size,
        first_recordedtime=NOON,
        last_recordedtime=NOON,
        sha256="",
        merkle_root=root_of([*map(leaf_hash, lines)]).hex(),
        chain=chain,
    )
    found = SealedLines(tmp_path, "here", Disk(), lambda _: None).check(entry, Chain())
    assert [(one.kind, one.first, one.last) for one in found] == [("lines_altered", 2, 2)]


def test_a_bus_that_was_made_anew_is_no_finding_and_one_that_went_back_in_time_is(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.append("here", many(4, first=11))
        log.rewind("here")
        log.append("here", [given._replace(sequence=given.sequence - 14) for given in many(2, first=15)])
        log.rewind("here")
        log.append("here", many(2))  # older than what is there
        log.seal_full_segments()
    assert [place(finding) for finding in verify(tmp_path, deep=True)] == [("sequence_reused", f"{FIRST}.zst", 7, 7)]


def test_a_log_that_is_being_written_is_verified_up_to_its_last_durable_line(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        for begin in range(0, 60, 7):
            log.append("here", mixed(60)[begin : begin + 7])
            assert list(verify(tmp_path, beside_writer=True)) == []
            log.seal_full_segments()
        newest = sorted((tmp_path / "here").glob("*.ndjson"))[-1]
        with newest.open("ab") as file:
            file.write(b'{"n":')
        assert list(verify(tmp_path, deep=True, beside_writer=True)) == []


def test_a_segment_that_is_sealed_while_we_look_is_no_finding(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.append("here", many(28))
        disk = MeanwhileDisk(log.seal_full_segments)
        assert list(verify(tmp_path, deep=True, beside_writer=True, disk=disk)) == []
        assert len(log.segments("here")) == 3


def test_the_watch_is_told_of_every_byte_and_may_stop_it(folder: Path) -> None:
    for deep in (False, True):
        told: list[int] = []
        assert list(verify(folder, deep=deep, watch=told.append)) == []
        assert 0.9 < sum(told) / bytes_to_verify(folder, deep=deep) <= 1

    def stop(size_bytes: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        list(verify(folder, watch=stop))


@pytest.mark.parametrize("golden", ["golden", "golden-chained"])
def test_a_log_of_an_earlier_version_is_sound(golden: str) -> None:
    assert list(verify(Path(__file__).parent / golden / "log", deep=True)) == []


def test_what_was_not_signed_stays_valid_and_what_comes_after_a_signature_is_signed(tmp_path: Path) -> None:
    with opened(tmp_path, signer=None) as log:
        log.append("here", many(8))
        log.seal_full_segments()
    with opened(tmp_path) as log:
        log.append("here", many(16))
        log.seal_full_segments()
    with opened(tmp_path, signer=None) as log:
        log.append("here", many(24))
        with pytest.raises(LogWriteFailed, match="without the node's key"):
            log.seal_full_segments()
    other = Signer(new_seed())
    with opened(tmp_path, signer=other) as log:
        assert log.seal_full_segments() == 1
    unsigned, ours, theirs = map(json.loads, (tmp_path / "here" / "manifest.ndjson").read_bytes().splitlines())
    assert "signer" not in unsigned
    assert (ours["signer"], theirs["signer"]) == (KEY.public, other.public)
    assert len(list(verify(tmp_path, signers={"here": other.public}))) == 1
    assert len(list(verify(tmp_path, signers={"here": KEY.public}))) == 2
    (finding,) = verify(tmp_path, deep=True)
    assert finding.is_notice
    assert place(finding) == ("signer_changed", "manifest.ndjson", 17, 24)
    assert other.public in finding.what


def test_a_manifest_that_has_no_signature_is_told_where_the_key_is_known(folder: Path) -> None:
    """Who has the files and not the key can write all of them anew, and sign nothing."""
    manifest = folder / "here" / "manifest.ndjson"
    unsigned, previous = [], BEFORE_THE_FIRST
    for line in lines_of(manifest):
        entry = json.loads(line) | {"previous": previous}
        del entry["signer"], entry["signature"]
        unsigned.append(json.dumps(entry, separators=(",", ":")).encode())
        previous = sha256(unsigned[-1]).hexdigest()
    manifest.write_bytes(b"".join(line + b"\n" for line in unsigned))
    assert list(verify(folder, deep=True)) == []
    (finding,) = verify(folder, deep=True, signers={"here": KEY.public})
    assert place(finding) == ("manifest_unsigned", "manifest.ndjson", None, None)
    assert finding.is_notice, "a node that got its key and sealed nothing since has the same files"
    with opened(folder) as log:
        log.append("here", many(24))
        log.seal_full_segments()
    assert list(verify(folder, deep=True, signers={"here": KEY.public})) == []


def test_a_node_that_sealed_nothing_yet_has_nothing_to_sign(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.append("here", many(4))
    assert list(verify(tmp_path, deep=True, signers={"here": KEY.public})) == []


def lines_of(path: Path) -> Iterator[bytes]:
    yield from path.read_bytes().splitlines()


def test_a_line_whose_signature_was_taken_off_or_altered_opens_no_log(folder: Path) -> None:
    manifest = folder / "here" / "manifest.ndjson"
    first, last = lines_of(manifest)
    assert is_signed(last, KEY.public)
    for changed in (last[: last.index(b',"signer"')] + b"}", last.replace(b'"signature":"', b'"signature":"AA')):
        manifest.write_bytes(first + b"\n" + changed + b"\n")
        with pytest.raises(LogDamaged, match=r"signature|never signed"):
            opened(folder)


@pytest.mark.parametrize(
    "seed",
    [b"", b"SN", b"SUAM", KEY.public.encode(), new_seed()[:-2], b"\xff" * 58],
    ids=["none", "two-letters", "four-letters", "a-public-key", "cut-off", "no-letters"],
)
def test_what_is_no_seed_signs_nothing(seed: bytes) -> None:
    with pytest.raises(ValueError, match="seed"):
        Signer(seed)
