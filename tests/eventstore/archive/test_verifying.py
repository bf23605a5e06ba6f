"""An archive that somebody edited is found out, down to the line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rookery.eventstore import ArchiveDamaged, NoArchive
from rookery.eventstore.archive import archive
from rookery.eventstore.disk import Disk
from rookery.eventstore.frames import FramedFile, compress
from rookery.eventstore.stores import Store
from rookery.eventstore.verification import Finding, bytes_to_verify_in, verify_archive
from rookery.tests.eventstore.archive.logs import filled

Edit = Callable[[list[bytes]], list[bytes]]
SECOND = f"log/here/{9:020}.ndjson.zst"


@pytest.fixture
def archived(tmp_path: Path, store: Store) -> Store:
    with filled(tmp_path / "log") as log:
        archive(log, store, {"keys/some.key": a_file(tmp_path)})
    return store


def a_file(folder: Path) -> Path:
    (folder / "some.key").write_bytes(b"a key")
    return folder / "some.key"


def edited(store: Store, name: str, edit: Edit, folder: Path) -> None:
    """Put the file there with other lines, compressed as well as it was."""
    (folder / "taken").write_bytes(store.get(name, 2**20) or b"")
    file = FramedFile(folder / "taken", Disk())
    store.put(name, b"".join(compress(edit([line for frame in file.frames for line in file.decode(frame)]))))


def line(index: int, old: bytes, new: bytes) -> Edit:
    return lambda lines: [*lines[:index], lines[index].replace(old, new), *lines[index + 1 :]]


EDITS: dict[str, tuple[Edit, tuple[int, int]]] = {
    "one line": (line(3, b"2026", b"2025"), (12, 12)),
    "the last line": (line(7, b"2026", b"2025"), (16, 16)),
    "two lines": (lambda lines: line(5, b"2026", b"2025")(line(2, b"2026", b"2025")(lines)), (11, 14)),
    "swapped lines": (lambda lines: [lines[1], lines[0], *lines[2:]], (9, 11)),
    "a line is gone": (lambda lines: lines[:4] + lines[5:], (13, 16)),
}


@pytest.mark.parametrize(("edit", "named"), EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("deep", [False, True])
def test_an_edited_line_of_a_sealed_segment_is_named(
    archived: Store, tmp_path: Path, edit: Edit, named: tuple[int, int], deep: bool
) -> None:
    assert list(verify_archive(archived, deep=deep)) == []
    edited(archived, SECOND, edit, tmp_path)
    (found,) = verify_archive(archived, deep=deep)
    assert (found.kind, found.file, (found.first, found.last)) == ("segment_altered", SECOND, named)
    assert "rookery archive --verify" in found.remedy


def test_an_edited_line_of_the_open_end_is_named(archived: Store, tmp_path: Path) -> None:
    (name,) = archived.sizes("open")
    edited(archived, name, line(0, b"2026", b"2025"), tmp_path)
    (found,) = verify_archive(archived)
    assert (found.kind, found.file, found.first) == ("archive_damaged", name, 25)


def spoilt(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("below", ["log", "open", "files"])
def test_every_object_counts(archived: Store, below: str) -> None:
    for name in archived.sizes(below):
        whole = archived.get(name, 2**20)
        assert whole is not None
        archived.put(name, spoilt(whole))
        assert name in [found.file for found in verify_archive(archived)]
        archived.delete(name)
        assert name in [found.file for found in verify_archive(archived)]
        archived.put(name, whole)
    assert list(verify_archive(archived)) == []


def test_its_watch_is_told_of_what_is_read(archived: Store) -> None:
    told = list[int]()
    assert list[Finding](verify_archive(archived, watch=told.append)) == []
    assert 0 < sum(told) <= bytes_to_verify_in(archived)


def test_what_a_broken_off_archiving_left_is_no_finding(archived: Store) -> None:
    archived.put(f"log/here/{25:020}.ndjson.zst", b"not yet named")
    assert list(verify_archive(archived)) == []


def test_without_its_catalogue_there_is_no_archive(archived: Store) -> None:
    archived.put("archive.json", b"{")
    with pytest.raises(ArchiveDamaged):
        list(verify_archive(archived))
    archived.delete("archive.json")
    with pytest.raises(NoArchive):
        list(verify_archive(archived))
