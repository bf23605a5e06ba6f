"""A folder and a bucket keep objects alike, and a whole archive as well."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from rookery.eventstore import ArchiveDamaged, ArchiveUnavailable, InvalidArchive, s3
from rookery.eventstore.archive import archive, restore, trim
from rookery.eventstore.stores import Store, open_store
from rookery.tests.eventstore.archive.logs import LATER, bytes_of, filled, lines_of, opened
from rookery.tests.eventstore.archive.s3_server import BUCKET, s3_server

PLACES = ["folder", f"s3://{BUCKET}/colony/archive", f"s3://{BUCKET}"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def s3_settings(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")


@pytest.fixture(params=PLACES)
def store(request: pytest.FixtureRequest, tmp_path: Path, s3_settings: None) -> Store:
    return open_store(str(tmp_path / "cold") if request.param == "folder" else request.param)


def test_what_was_put_is_got_and_replaced_and_removed(store: Store) -> None:
    assert store.get("log/here/one", 10) is None
    store.put("log/here/one", b"first")
    store.put("log/here/one", b"second")
    store.put("log/here/two", b"")
    assert store.get("log/here/one", 10) == b"second"
    assert store.get("log/here/two", 0) == b""
    store.delete("log/here/one")
    store.delete("log/here/one")
    assert store.get("log/here/one", 10) is None


def test_a_folders_objects_are_listed_with_their_sizes(store: Store) -> None:
    assert store.sizes("listed") == {}
    store.put("listed/here/one", b"1")
    store.put("listed/here/two", b"22")
    store.put("listed/zero", b"")
    store.put("listed-not", b"1")
    assert store.sizes("listed") == {"listed/here/one": 1, "listed/here/two": 2, "listed/zero": 0}
    assert store.sizes("listed/here") == {"listed/here/one": 1, "listed/here/two": 2}


def test_what_is_larger_than_it_may_be_is_not_read(store: Store) -> None:
    store.put("large", b"x" * 11)
    assert store.get("large", 11) == b"x" * 11
    with pytest.raises(ArchiveDamaged, match="more than the 10 bytes"):
        store.get("large", 10)


def test_a_store_opened_by_its_own_name_is_the_same(store: Store) -> None:
    store.put("named", b"same")
    assert open_store(store.place).get("named", 10) == b"same"


def test_a_log_is_archived_trimmed_read_and_restored_over_s3(tmp_path: Path, s3_settings: None) -> None:
    store = open_store(f"s3://{BUCKET}/whole")
    with filled(tmp_path / "log") as log:
        expected, files = lines_of(log), bytes_of(tmp_path / "log")
        assert trim(log, store, archive(log, store).catalogue, before=LATER).segments >= 2
        assert lines_of(log) == expected
    restore(store, tmp_path / "new")
    assert bytes_of(tmp_path / "new") == files
    with opened(tmp_path / "new") as log:
        assert lines_of(log) == expected


def test_an_edited_object_in_a_bucket_is_named(tmp_path: Path, s3_settings: None) -> None:
    store = open_store(f"s3://{BUCKET}/edited")
    with filled(tmp_path / "log") as log:
        archive(log, store)
    name = "log/here/00000000000000000001.ndjson.zst"
    content = store.get(name, 10_000)
    assert content
    store.put(name, content[::-1])
    with pytest.raises(ArchiveDamaged, match=f"{name}.*its bytes were changed"):
        restore(store, tmp_path / "new")


def test_a_bucket_that_is_not_there_is_told(tmp_path: Path, s3_settings: None) -> None:
    with filled(tmp_path / "log") as log, pytest.raises(ArchiveUnavailable, match=r"s3://no-such-bucket.*404"):
        archive(log, open_store("s3://no-such-bucket"))


def test_a_server_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch, s3_settings: None) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(s3, "RETRIES_MAX", 0)
    with pytest.raises(ArchiveUnavailable, match=r"s3://birds.*archive\.json"):
        open_store("s3://birds").get("archive.json", 10)


def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, s3_settings: None) -> None:
    monkeypatch.setattr(s3, "RETRIES_MAX", 0)
    monkeypatch.setattr(s3, "REQUEST_SECONDS_MAX", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ArchiveUnavailable, match="one"):
            open_store("s3://birds").put("one", b"1")


@pytest.mark.parametrize(
    "place",
    ["", "ftp://host/folder", "s3://", "s3:///prefix", "s3://bucket/prefix?versions", "s3://x y/z", "s3://b", "a\x00b"],
)
def test_a_place_that_cant_be_one_is_refused(place: str) -> None:
    with pytest.raises(InvalidArchive):
        open_store(place)


def test_without_credentials_the_variables_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:  # which gives no credentials
        Thread(target=other.handle_request, daemon=True).start()
        for metadata in (("127.0.0.1", other.server_port), ("127.0.0.1", 9)):
            monkeypatch.setattr(s3, "METADATA", metadata)
            with pytest.raises(ArchiveUnavailable, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
                open_store("s3://birds")
