"""Nodes that copy from each other, in any order, whatever breaks off, end with byte-equal logs; liars are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rookery.eventstore import Log
from rookery.eventstore.signing import Signer, new_seed
from rookery.ops.syncing import (
    InvalidRun,
    LogPeer,
    Offer,
    Peer,
    PeerError,
    PeerUnreachable,
    Pull,
    Pulled,
    Run,
    decode_run,
    encode_run,
    is_behind,
    recover_own,
)
from rookery.ops.syncing.offering import Offering
from rookery.ops.syncing.peers import ORIGINS_MAX, RUN_EVENTS_MAX
from rookery.ops.syncing.quarantine import set_aside
from rookery.tests.eventstore.deliveries import many, mixed

NAMES = ("east", "north", "west")


def open_log(folder: Path, name: str, segment_events_max: int = 8) -> Log:
    return Log.open(folder / name, own=(name,), segment_events_max=segment_events_max)


def files(log: Log) -> dict[str, bytes]:
    """Every byte that counts, of all origins."""
    found = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in log.folder.glob("*/*ndjson*")}
    return {name: data for name, data in sorted(found.items()) if data}


def pull(log: Log, peer: Peer | Log, own: str) -> Pulled:
    return asyncio.run(Pull(log, LogPeer(peer) if isinstance(peer, Log) else peer, (own,)).run())


@pytest.fixture
def east(tmp_path: Path) -> Iterator[Log]:
    with open_log(tmp_path, "east") as log:
        log.append("east", mixed(60))
        log.seal_full_segments()
        log.append("east", many(5, first=61))
        yield log


@pytest.fixture
def west(tmp_path: Path) -> Iterator[Log]:
    with open_log(tmp_path, "west", 5) as log:
        yield log


def test_two_nodes_that_pull_from_each_other_have_the_same_bytes(east: Log, west: Log) -> None:
    west.append("west", many(13, first=100))
    west.seal_full_segments()
    assert pull(west, east, "west").events == {"east": 57}
    assert pull(east, west, "east").events == {"west": 13}
    assert files(east) == files(west)
    assert east.vector() == west.vector()
    again = pull(west, east, "west")
    assert (again.events, again.bytes, again.wrong) == ({}, 0, [])


def test_only_what_is_missing_travels(east: Log, west: Log) -> None:
    pull(west, east, "west")
    east.append("east", many(3, first=200))
    pulled = pull(west, east, "west")
    lines = [record.line for record in east.read("east", after=57)]
    assert (pulled.events, pulled.bytes, pulled.segments) == ({"east": 3}, sum(map(len, lines)), 0)


def test_a_third_node_gets_it_all_from_the_second(east: Log, west: Log, tmp_path: Path) -> None:
    pull(west, east, "west")
    with open_log(tmp_path, "north") as north:
        assert pull(north, west, "north").events == {"east": 57}
        assert files(north) == files(east)


def test_of_a_hub_that_sealed_by_itself_the_lines_are_taken(east: Log, west: Log, tmp_path: Path) -> None:
    """It has the spoke's lines and a manifest of its own."""
    with Log.open(tmp_path / "hub", segment_events_max=16, signer=Signer(new_seed())) as hub:
        hub.append("east", mixed(60))
        hub.append("east", many(5, first=61))
        hub.seal_full_segments()
        pull(west, east, "west")
        east.append("east", many(40, first=300))
        hub.append("east", many(40, first=300))
        hub.seal_full_segments()
        assert pull(west, hub, "west").wrong == []
        assert west.vector() == east.vector()
        assert pull(west, hub, "west").wrong == []
        east.seal_full_segments()
        assert pull(west, east, "west").wrong == []
        assert files(west) == files(east)


class Cut(LogPeer):
    """A peer whose connection breaks off at the n-th question, or in the middle of its answer."""

    def __init__(self, log: Log, questions: int) -> None:
        super().__init__(log, name="cut")
        self._left = questions

    async def _do(self, work: Callable[[], Any]) -> Any:
        self._left -= 1
        if self._left < 0:
            raise PeerUnreachable(self.name, "cut")
        return await super()._do(work)


WRITES = st.tuples(st.sampled_from(NAMES), st.integers(1, 21))
SEALS = st.sampled_from(NAMES)
PULLS = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 12))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(WRITES, SEALS, PULLS), max_size=16))
def test_whatever_happened_before_nodes_that_all_pull_converge(
    steps: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        logs = {
            name: stack.enter_context(open_log(folder, name, size)) for name, size in zip(NAMES, (4, 7, 9), strict=True)
        }
        given_to = dict.fromkeys(NAMES, 0)
        for step in steps:
            match step:
                case (str(name), int(count)):
                    logs[name].append(name, many(count, first=given_to[name] + 1))
                    given_to[name] += count
                case (str(to), str(source), int(questions)):
                    with suppress(PeerUnreachable):
                        pull(logs[to], Cut(logs[source], questions), to)
                case name:
                    logs[name].seal_full_segments()
        for _ in range(2):  # each hears of everything, at the latest by way of another
            for to in NAMES:
                for source in NAMES:
                    assert pull(logs[to], logs[source], to).wrong == []
        assert files(logs["east"]) == files(logs["north"]) == files(logs["west"])
        assert logs["east"].vector() == {name: n for name, n in given_to.items() if n}


class Liar(LogPeer):
    """A peer that changes what it answers to one kind of question."""

    def __init__(self, log: Log, kind: str, lie: Callable[[Any], Any]) -> None:
        super().__init__(log, name="liar")
        self._kind, self._lie = kind, lie

    async def offer(self) -> Offer:
        return self._told("offer", await super().offer())

    async def manifest(self, origin: str, after: int) -> list[bytes]:
        return self._told("manifest", await super().manifest(origin, after))

    async def segment(self, origin: str, first: int, size_bytes: int) -> bytes:
        return self._told("segment", await super().segment(origin, first, size_bytes))

    async def lines(self, origin: str, after: int, up_to: int) -> Run:
        return self._told("lines", await super().lines(origin, after, up_to))

    def _told(self, kind: str, answer: Any) -> Any:
        return self._lie(answer) if kind == self._kind else answer


def edited(answer: list[bytes], **fields: object) -> list[bytes]:
    return [msgspec.json.encode(msgspec.json.decode(line) | fields) for line in answer]


def with_state(offer: Offer, **fields: Any) -> Offer:
    return msgspec.structs.replace(
        offer, origins={name: msgspec.structs.replace(state, **fields) for name, state in offer.origins.items()}
    )


LIES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "an edited line": ("lines", lambda run: Run(run.segment, [run.lines[0].replace(b"2026", b"2025"), *run.lines[1:]])),
    "swapped lines": ("lines", lambda run: Run(run.segment, [run.lines[-1], *run.lines[1:-1], run.lines[0]])),
    "a gap": ("lines", lambda run: Run(run.segment, run.lines[1:] or [b"{}"])),
    "no lines": ("lines", lambda run: Run(run.segment, [])),
    "more than was asked for": ("lines", lambda run: Run(run.segment, run.lines * 100)),
    "a huge line": ("lines", lambda run: Run(run.segment, [b"x" * 10**6])),
    "an edited segment": ("segment", lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]),
    "an endless segment": ("segment", lambda data: data * 100),
    "no segment": ("segment", lambda data: b""),
    "a forged hash": ("manifest", lambda lines: edited(lines, sha256="0" * 64)),
    "a forged size": ("manifest", lambda lines: edited(lines, compressed_bytes=2**40)),
    "a forged end": ("manifest", lambda lines: edited(lines, last=2**40)),
    "a manifest that goes back": ("manifest", lambda lines: lines[:1] * 2),
    "an empty manifest": ("manifest", lambda lines: []),
    "no manifest": ("manifest", lambda lines: [b"<html>"]),
    "more than it has": ("offer", lambda offer: with_state(offer, last=99)),
    "more sealed than it has": ("offer", lambda offer: with_state(offer, sealed=99)),
    "too many origins": ("offer", lambda offer: Offer(
        own=None, origins=dict.fromkeys(map(str, range(ORIGINS_MAX + 1)), offer.origins["east"])
    )),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "lie"), LIES.values(), ids=LIES)
@pytest.mark.parametrize("segment_first", [True, False])
def test_a_peer_that_lies_is_refused_and_named_and_what_is_kept_is_true(
    east: Log, west: Log, kind: str, lie: Callable[[Any], Any], segment_first: bool
) -> None:
    if not segment_first:
        west.mirror("east").take_lines(1, [record.line for record in east.read("east", limit=3)])
    assert "liar" in told_of(west, Liar(east, kind, lie))
    held = west.vector().get("east", 0)
    assert [record.line for record in west.read("east")] == [record.line for record in east.read("east", limit=held)]
    assert pull(west, east, "west").wrong == []
    assert files(west) == files(east)


def told_of(log: Log, peer: Peer) -> str:
    """What is said of a pull that went wrong."""
    try:
        return "; ".join(pull(log, peer, "west").wrong)
    except PeerError as error:
        return str(error)


def forked(tmp_path: Path, n: int) -> tuple[Log, Log]:
    """Two logs of one origin that part at line `n`."""
    first, second = open_log(tmp_path / "first", "east"), open_log(tmp_path / "second", "east")
    for log, begin in ((first, n), (second, 500)):
        log.append("east", many(n - 1))
        log.append("east", many(30, first=begin))
    return first, second


@pytest.mark.parametrize("n", [1, 2, 9, 300])
@pytest.mark.parametrize("sealed", [True, False])
def test_two_histories_are_found_where_they_part_and_never_merged(
    tmp_path: Path, west: Log, n: int, sealed: bool
) -> None:
    first, second = forked(tmp_path, n)
    with first, second:
        if sealed:
            first.seal_full_segments()
        pull(west, first, "west")
        before = files(west)
        pulled = pull(west, second, "west")
        (fork,) = pulled.forks
        assert (fork.origin, fork.n) == ("east", n)
        assert (fork.ours, fork.theirs) == (first.chain_at("east", n), second.chain_at("east", n))
        assert fork.ours in pulled.wrong[0]
        assert fork.theirs in pulled.wrong[0]
        assert files(west) == before
        folder = asyncio.run(set_aside(tmp_path / "data", LogPeer(second), fork, west))
        assert folder is not None
        kept = b"".join(path.read_bytes() for path in sorted(folder.glob("*.ndjson")))
        assert kept.splitlines() == [record.line for record in second.read("east", after=n - 1)]
        assert msgspec.json.decode((folder / "fork.json").read_bytes())["n"] == n


def test_a_nodes_own_origin_is_never_pulled_and_what_it_lacks_is_told(east: Log, tmp_path: Path) -> None:
    with open_log(tmp_path / "restored", "east") as restored:
        restored.append("east", mixed(20))
        held = restored.vector()["east"]
        pulled = pull(restored, east, "east")
        assert (pulled.behind, pulled.events) == (57 - held, {})
        assert "--recover-own" in pulled.wrong[0]
        assert asyncio.run(is_behind(restored, "east", LogPeer(east)))


def test_a_restored_node_takes_its_own_history_back_before_it_writes(east: Log, west: Log, tmp_path: Path) -> None:
    pull(west, east, "west")
    with open_log(tmp_path / "restored", "east") as restored:
        restored.append("east", mixed(20))
    recovered = asyncio.run(recover_own(restored.folder, "east", LogPeer(west)))
    assert recovered.wrong == []
    with open_log(tmp_path / "restored", "east") as restored:
        assert files(restored) == files(east)
        restored.rewind("east")
        restored.append("east", many(2, first=1))
        restored.append("east", many(2, first=300))
        restored.seal_full_segments()
        assert pull(west, restored, "west").events == {"east": restored.vector()["east"] - 57}
        assert files(west) == files(restored)


def test_a_fork_ends_where_the_restored_node_takes_a_new_name(east: Log, west: Log, tmp_path: Path) -> None:
    """As docs/howto/sync.md has it."""
    pull(west, east, "west")
    with open_log(tmp_path / "restored", "east") as restored:
        restored.append("east", mixed(20))
        restored.append("east", many(3, first=700))
        assert pull(restored, west, "east").forks
    (restored.folder / "east").rename(tmp_path / "east-branch")
    with Log.open(restored.folder, own=("east-2",)) as renamed:
        renamed.append("east-2", many(3, first=700))  # which its bus still has
        assert asyncio.run(Pull(renamed, LogPeer(west), renamed.origins()).run()).wrong == []
        assert pull(west, renamed, "west").wrong == []
        assert renamed.vector() == west.vector() == {"east": 57, "east-2": 3}
        assert files(renamed) == files(west)


def test_a_restored_node_that_wrote_already_has_forked(east: Log, tmp_path: Path) -> None:
    with open_log(tmp_path / "restored", "east") as restored:
        restored.append("east", mixed(20))
        n = restored.vector()["east"] + 1
        restored.append("east", many(1, first=700))
        (fork,) = pull(restored, east, "east").forks
        assert fork.n == n
        assert not asyncio.run(is_behind(restored, "east", LogPeer(east)))
    recovered = asyncio.run(recover_own(restored.folder, "east", LogPeer(east)))
    assert (recovered.events, len(recovered.forks)) == ({}, 1)


@pytest.mark.parametrize("lines", [[b"{}"], [b"a", b"b"], []])
def test_a_run_comes_out_as_it_went_in(lines: Sequence[bytes]) -> None:
    assert decode_run(encode_run(Run(7, [*lines]))) == Run(7, [*lines])


@pytest.mark.parametrize("data", [b"", b"x", encode_run(Run(7, [b"{}"]))[:-3], b"{}\n{}"])
def test_what_is_no_run_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRun):
        decode_run(data)


def test_a_run_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.ops.syncing.runs._DECODED_BYTES_MAX", 10**6)
    with pytest.raises(InvalidRun, match="more than"):
        decode_run(encode_run(Run(7, [b"x" * 10**6])))


def test_a_run_of_more_lines_than_travel_at_once_is_refused() -> None:
    """A megabyte of newlines would be a million lines."""
    with pytest.raises(InvalidRun, match="lines"):
        decode_run(encode_run(Run(7, [b""] * (RUN_EVENTS_MAX + 1))))
    assert len(decode_run(encode_run(Run(7, [b""] * RUN_EVENTS_MAX))).lines) == RUN_EVENTS_MAX


def test_a_segment_of_one_line_is_offered(tmp_path: Path) -> None:
    with Log.open(tmp_path / "log", segment_events_max=1) as log:
        log.append("east", many(3))
        log.seal_full_segments()
        assert Offering(log, "east").segment("east", 2).name == f"{2:020}.ndjson.zst"
