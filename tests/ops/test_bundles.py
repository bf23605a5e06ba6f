"""What travels in a file makes the same log, however it was cut, and a file that was altered is refused."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rookery.eventstore import Log
from rookery.ops.syncing import BundlePeer, InvalidBundle, LogPeer, Pull, Pulled, export_bundle
from rookery.tests.eventstore.deliveries import many, mixed
from rookery.tests.ops.test_syncing import files, open_log


@pytest.fixture
def east(tmp_path: Path) -> Iterator[Log]:
    with open_log(tmp_path, "east") as log:
        log.append("east", mixed(60))
        log.seal_full_segments()
        log.append("east", many(5, first=61))
        yield log


@pytest.fixture
def west(tmp_path: Path) -> Iterator[Log]:
    with open_log(tmp_path, "west") as log:
        yield log


def import_(log: Log, path: Path) -> Pulled:
    with BundlePeer(path) as bundle:
        return asyncio.run(Pull(log, bundle, ("west",)).run())


def take(east: Log, west: Log, after: int) -> None:
    """Have `west` begin like `east`."""
    if after:
        with_lines = [record.line for record in east.read("east", limit=after)]
        west.mirror("east").take_lines(1, with_lines)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(held=st.integers(0, 57), data=st.data())
def test_a_bundle_from_anywhere_before_a_logs_end_makes_it_whole(
    held: int, data: st.DataObject, east: Log, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    after = data.draw(st.integers(0, held))
    with open_log(folder, "west") as west:
        take(east, west, held)
        export_bundle(east, {"east": after}, folder / "bundle")
        if held == 57:  # nothing is missing, and lines stay in the file in which they came
            assert import_(west, folder / "bundle").events == {}
            return
        pulled = import_(west, folder / "bundle")
        assert (pulled.wrong, pulled.events) == ([], {"east": 57 - held} if held < 57 else {})
        assert files(west) == files(east)
        again = import_(west, folder / "bundle")
        assert (again.wrong, again.events) == ([], {})


def test_a_bundle_and_a_peer_make_the_same_log(east: Log, west: Log, tmp_path: Path) -> None:
    export_bundle(east, {}, tmp_path / "first")
    import_(west, tmp_path / "first")
    east.append("east", many(30, first=100))
    asyncio.run(Pull(west, LogPeer(east), ("west",)).run())
    east.seal_full_segments()
    export_bundle(east, west.vector(), tmp_path / "nothing")
    export_bundle(east, {"east": 57}, tmp_path / "second")
    assert import_(west, tmp_path / "nothing").events == {}
    assert import_(west, tmp_path / "second").wrong == []
    assert files(west) == files(east)


def test_only_what_is_missing_is_in_it(east: Log, tmp_path: Path) -> None:
    contents = export_bundle(east, {"east": 50}, tmp_path / "bundle")
    assert contents.events == 7
    with tarfile.open(tmp_path / "bundle") as tar:
        assert tar.getnames() == [
            "bundle.json",
            "east/manifest.ndjson",
            "east/00000000000000000051.run",
            "east/00000000000000000057.run",
        ]


def test_a_gap_is_refused_with_what_is_missing(east: Log, west: Log, tmp_path: Path) -> None:
    take(east, west, 20)
    export_bundle(east, {"east": 40}, tmp_path / "bundle")
    (wrong,) = import_(west, tmp_path / "bundle").wrong
    assert "this bundle begins at east:41 and this log ends at east:20: export one from 21 on" in wrong
    assert west.vector() == {"east": 20}


def test_another_history_is_refused(east: Log, west: Log, tmp_path: Path) -> None:
    with open_log(tmp_path / "other", "east") as other:
        other.append("east", many(70))
        other.seal_full_segments()
        for after in (0, 10):
            export_bundle(other, {"east": after}, tmp_path / f"{after}")
            take(east, west, 30)
            (fork,) = import_(west, tmp_path / f"{after}").forks
            assert fork.n <= 11
            assert west.vector() == {"east": 30}


@pytest.mark.parametrize("at", range(5, 100, 6))
def test_a_file_that_was_altered_anywhere_brings_nothing_that_is_false(
    east: Log, west: Log, tmp_path: Path, at: int
) -> None:
    export_bundle(east, {}, tmp_path / "bundle")
    data = bytearray((tmp_path / "bundle").read_bytes())
    data[len(data) * at // 100] ^= 0x20
    (tmp_path / "bundle").write_bytes(data)
    try:
        import_(west, tmp_path / "bundle")
    except InvalidBundle:
        assert west.vector() == {}
    held = west.vector().get("east", 0)
    assert [one.line for one in west.read("east")] == [one.line for one in east.read("east", limit=held)]


@pytest.mark.parametrize(
    ("header", "content"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "bundle.json"}, b""),
        ({"type": tarfile.XHDTYPE}, b"20 GNU.sparse.map=a\n"),
        ({"type": tarfile.XHDTYPE}, b"99999999999999999999 a=b\n"),
        ({}, b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
        ({}, b'{"format":1,"x":"\xff"}'),
    ],
)
def test_a_file_with_odd_headers_or_contents_is_refused(tmp_path: Path, header: dict[str, Any], content: bytes) -> None:
    with tarfile.open(tmp_path / "bundle", "w") as tar:
        for name in ("bundle.json", "other"):
            member = tarfile.TarInfo(name)
            for attribute, value in (header | {"size": len(content)}).items():
                setattr(member, attribute, value)
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(InvalidBundle):
        BundlePeer(tmp_path / "bundle")


@pytest.mark.parametrize("share", [0, 1, 30, 60, 99])
def test_a_file_that_was_cut_is_refused_and_named(east: Log, west: Log, tmp_path: Path, share: int) -> None:
    export_bundle(east, {}, tmp_path / "bundle")
    data = (tmp_path / "bundle").read_bytes().rstrip(b"\x00")
    (tmp_path / "bundle").write_bytes(data[: len(data) * share // 100])
    with pytest.raises(InvalidBundle, match="bundle is no whole bundle") as refused:
        raise_what_is_wrong(import_(west, tmp_path / "bundle"), tmp_path / "bundle")
    assert str(tmp_path) in str(refused.value)


def raise_what_is_wrong(pulled: Pulled, path: Path) -> None:
    for failure in pulled.failures.values():
        if failure.error == "InvalidBundle":
            raise InvalidBundle(path, failure.detail)


def test_of_another_format_is_refused(east: Log, west: Log, tmp_path: Path) -> None:
    export_bundle(east, {}, tmp_path / "bundle")
    data = (tmp_path / "bundle").read_bytes()
    told = json.loads(data[512 : data.index(b"\x00", 512)])
    assert told["format"] == 1
    (tmp_path / "bundle").write_bytes(data.replace(b'"format":1', b'"format":2', 1))
    with pytest.raises(InvalidBundle, match="its format is 2"):
        import_(west, tmp_path / "bundle")
