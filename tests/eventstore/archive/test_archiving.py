"""An archive holds the whole log, is checked when it is written, and takes nothing from anybody else."""

from __future__ import annotations

import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from rookery.eventstore import (
    ArchiveDamaged,
    ArchiveUnavailable,
    ForeignArchive,
    LogDamaged,
    NoArchive,
    ObjectMissing,
    ObjectsLost,
    RestoreRefused,
)
from rookery.eventstore.archive import Progress, archive, read_catalogue, restore, trim
from rookery.eventstore.stores import Store, open_store
from rookery.tests.eventstore.archive.logs import LATER, bytes_of, filled, lines_of, objects_of, opened
from rookery.tests.eventstore.deliveries import many, mixed


def test_what_is_restored_is_the_log_byte_by_byte(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        archived = archive(log, store)
        expected = lines_of(log)
    restored = restore(store, tmp_path / "new" / "log")
    assert restored == archived.catalogue
    assert bytes_of(tmp_path / "new" / "log") == bytes_of(tmp_path / "log")
    with opened(tmp_path / "new" / "log") as log:
        log.verify()
        assert lines_of(log) == expected


def test_a_second_archiving_copies_only_what_is_new(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        archive(log, store)
        before = set(objects_of(tmp_path / "cold"))
        assert archive(log, store).objects == 0
        log.append("here", many(9, first=100))
        log.seal_full_segments()
        assert archive(log, store).objects == 3, "a segment, the manifest, the open end"
        added = set(objects_of(tmp_path / "cold")) - before
        assert len(added) == 2
        assert not [name for name in before if name.startswith("open/") and (tmp_path / "cold" / name).exists()]


def test_a_reader_beside_the_writer_archives_a_moment(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log, opened(tmp_path / "log", writable=False) as reader:
        moment = reader.vector()

        def meanwhile(progress: Progress) -> None:
            log.append("here", many(3, first=1_000 + 3 * progress.done))
            log.seal_full_segments()

        archived = archive(reader, store, watch=meanwhile)
        assert archived.catalogue.vector == moment
        expected = lines_of(log)["here"][: moment["here"]]
    restore(store, tmp_path / "new")
    with opened(tmp_path / "new", writable=False) as restored:
        assert lines_of(restored)["here"] == expected


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
def test_of_two_who_archive_at_once_one_gives_way(tmp_path: Path, store: Store, at: int) -> None:
    with filled(tmp_path / "log") as log:
        archive(log, store)
        log.append("here", many(5, first=100))
        turns = count(1)

        def meanwhile(_: Progress) -> None:
            if next(turns) == at:
                log.append("here", many(9, first=200))
                log.seal_full_segments()
                archive(log, store)

        with suppress(ArchiveUnavailable):
            archive(log, store, watch=meanwhile)
        assert next(turns) > at
        assert read_catalogue(store).vector == log.vector()
        expected = lines_of(log)
    restore(store, tmp_path / "new")
    with opened(tmp_path / "new") as log:
        assert lines_of(log) == expected


def test_files_travel_along(tmp_path: Path, store: Store) -> None:
    given = tmp_path / "ontology.ttl"
    given.write_bytes(b"<a> <b> <c> .")
    with filled(tmp_path / "log") as log:
        archive(log, store, {"graph-imports/ontology.ttl": given})
        given.write_bytes(b"<a> <b> <d> .")
        archive(log, store, {"graph-imports/ontology.ttl": given})
    names = [name for name in objects_of(tmp_path / "cold") if name.startswith("files/")]
    assert len(names) == 1, "the one before was replaced"
    assert read_catalogue(store).files["graph-imports/ontology.ttl"].size_bytes == len(given.read_bytes())


def test_an_empty_log_is_an_archive_too(tmp_path: Path, store: Store) -> None:
    with opened(tmp_path / "log") as log:
        archive(log, store)
    assert restore(store, tmp_path / "new").vector == {}
    with opened(tmp_path / "new") as log:
        log.append("here", mixed(3))
        assert archive(log, store).catalogue.vector == {"here": 3}


def test_where_nothing_was_archived_nothing_is_restored(tmp_path: Path, store: Store) -> None:
    with pytest.raises(NoArchive, match=r"archive\.json is not there"):
        restore(store, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_log_is_never_restored_over_another(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        archive(log, store)
        with pytest.raises(RestoreRefused, match="holds a log already"):
            restore(store, tmp_path / "log")


def test_another_logs_archive_is_left_alone(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        archive(log, store)
    before = objects_of(tmp_path / "cold")
    with opened(tmp_path / "other") as other:
        other.append("here", many(40))
        other.seal_full_segments()
        with pytest.raises(ForeignArchive, match="its segments of here are others"):
            archive(other, store)
    with opened(tmp_path / "third") as third:
        third.append("there", many(40))
        with pytest.raises(ForeignArchive, match="of which this log has none"):
            archive(third, store)
    assert objects_of(tmp_path / "cold") == before


def test_an_archive_that_knows_more_is_not_cut_back(tmp_path: Path, store: Store) -> None:
    with opened(tmp_path / "log") as log:
        log.append("here", many(5))
        archive(log, open_store(str(tmp_path / "backup")))
        log.append("here", many(1, first=6))
        archive(log, store)
    restore(open_store(str(tmp_path / "backup")), tmp_path / "old")
    with opened(tmp_path / "old") as old:
        with pytest.raises(ForeignArchive, match="up to 6, and this log ends at 5"):
            archive(old, store)
        old.append("here", mixed(9))
        with pytest.raises(ForeignArchive, match="another event at here:6"):
            archive(old, store)


def test_an_archive_that_became_empty_is_not_begun_anew(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        trim(log, store, archive(log, store).catalogue, before=LATER)
        (tmp_path / "cold").rename(tmp_path / "unmounted")
        with pytest.raises(ArchiveUnavailable, match="is its disk mounted"):
            archive(log, store)
        assert not (tmp_path / "cold").exists()


def test_a_damaged_segment_is_not_archived(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        segment = next((tmp_path / "log" / "here").glob("*.zst"))
        changed = bytearray(segment.read_bytes())
        changed[20] ^= 1
        segment.write_bytes(changed)
        with pytest.raises(LogDamaged, match=segment.name):
            archive(log, store)
    with pytest.raises(NoArchive):
        read_catalogue(store)


def edits(data: bytes) -> list[bytes]:
    return [data[:-1], data + b"x", data[:10] + bytes([data[10] ^ 1]) + data[11:], b""]


def test_an_edited_object_is_named_and_never_restored(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        archive(log, store)
    for name in objects_of(tmp_path / "cold"):
        path = tmp_path / "cold" / name
        whole = path.read_bytes()
        for edited in edits(whole):
            path.write_bytes(edited)
            if name.endswith("manifest.ndjson") and edited.startswith(whole):
                continue  # a manifest that has grown is the same archive's
            with pytest.raises(ArchiveDamaged, match=name):
                restore(store, tmp_path / "new")
            assert not (tmp_path / "new").exists()
        path.unlink()
        with pytest.raises((ArchiveDamaged, NoArchive)):
            restore(store, tmp_path / "new")
        path.write_bytes(whole)
    restore(store, tmp_path / "new")


@pytest.mark.parametrize("lost", [True, False])
def test_with_verify_a_log_gives_its_own_archive_a_new_catalogue(tmp_path: Path, store: Store, lost: bool) -> None:
    with filled(tmp_path / "log") as log:
        trim(log, store, archive(log, store).catalogue, before=LATER)
        path = tmp_path / "cold" / "archive.json"
        path.unlink() if lost else path.write_bytes(b"{}")
        with pytest.raises((ArchiveUnavailable, ArchiveDamaged)):
            archive(log, store)
        archive(log, store, verify=True)
        expected = lines_of(log)
    restore(store, tmp_path / "new")
    with opened(tmp_path / "new") as log:
        assert lines_of(log) == expected


def test_with_verify_what_was_edited_is_copied_anew(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        archive(log, store)
        names = [name for name in objects_of(tmp_path / "cold") if name != "archive.json"]
        for name in names:
            path = tmp_path / "cold" / name
            path.write_bytes(edits(path.read_bytes())[2])
        assert archive(log, store).objects == 0, "nobody looked"
        assert archive(log, store, verify=True).objects == len(names)
    restore(store, tmp_path / "new")


@pytest.mark.parametrize("verify", [True, False])
def test_what_is_missing_is_copied_anew_and_what_is_lost_is_told(tmp_path: Path, store: Store, verify: bool) -> None:
    with filled(tmp_path / "log", 90) as log:
        catalogue = archive(log, store).catalogue
        trimmed = trim(log, store, catalogue, before=LATER).segments
        before = {name: (tmp_path / "cold" / name).read_bytes() for name in objects_of(tmp_path / "cold")}
        for folder in ("log", "open"):
            shutil.rmtree(tmp_path / "cold" / folder)
        with pytest.raises(ObjectsLost, match=rf"log/here/0+1\.ndjson\.zst.* and {trimmed - 5} more") as lost:
            archive(log, store, verify=verify)
        assert len(lost.value.objects) == trimmed
        assert set(objects_of(tmp_path / "cold")) == set(before) - set(lost.value.objects)
        for name in lost.value.objects:
            (tmp_path / "cold" / name).write_bytes(before[name])
        assert archive(log, store, verify=verify).objects == 0, "all that was lost was brought back"
        expected = lines_of(log)
    restore(store, tmp_path / "new")
    with opened(tmp_path / "new") as log:
        assert lines_of(log) == expected


def test_an_archive_that_is_lost_as_a_whole_is_begun_anew_and_says_what_it_lacks(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        trimmed = trim(log, store, archive(log, store).catalogue, before=LATER).segments
        shutil.rmtree(tmp_path / "cold")
        for verify in (True, False):
            with pytest.raises(ObjectsLost) as lost:
                archive(log, store, verify=verify)
            assert len(lost.value.objects) == trimmed


def test_an_object_of_another_size_is_copied_anew_without_a_look_inside(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        archive(log, store)
        path = tmp_path / "cold" / "log" / "here" / f"{1:020}.ndjson.zst"
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        assert archive(log, store).objects == 1
        assert path.read_bytes() == whole


def test_what_another_archive_has_lost_makes_no_new_one(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        trim(log, store, archive(log, store).catalogue, before=LATER)
        shutil.rmtree(tmp_path / "cold" / "log")
        elsewhere = open_store(str(tmp_path / "elsewhere"))
        with pytest.raises(ObjectMissing, match=r"zst in the archive \S*cold is missing: it was removed, or"):
            archive(log, elsewhere)
        with pytest.raises(NoArchive):
            read_catalogue(elsewhere)
