"""A node verifies its log round after round, tells what is wrong, and serves nothing that it can't vouch for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from rookery.bus import MemoryBus
from rookery.eventstore import Healed, Log, LogDamaged, LogWriteFailed, Signer
from rookery.eventstore.signing import new_seed
from rookery.eventstore.verification import Finding, verify
from rookery.ops import verifying as module
from rookery.ops.health import Health
from rookery.ops.node_key import KEY_FILE, NodeKeyUnusable, signer_in
from rookery.ops.verifying import VerificationRunning, VerificationStopped, Verifier, verified
from rookery.tests.eventstore.deliveries import many
from rookery.tests.eventstore.test_recovery import flip

SEALED = f"{9:020}.ndjson.zst"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.open(tmp_path / "log", segment_events_max=8, signer=signer_in(tmp_path)) as log:
        log.append("here", many(28))
        log.seal_full_segments()
        yield log


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLING_SECONDS", 0)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)


def verifier(log: Log, health: Health, rate: float = 1_000.0) -> Verifier:
    return Verifier(log, health, ["here"], rate)


async def test_what_a_round_finds_is_told_and_not_served_until_it_is_whole_again(log: Log) -> None:
    health = Health()
    ours = verifier(log, health)
    working = asyncio.create_task(ours.run())
    while ours.rounds < 2:
        await asyncio.sleep(0.01)
    assert health.subsystems["log"].state == "ready"
    path = log.folder / "here" / SEALED
    assert [record.n for record in log.read("here")] == list(range(1, 29))
    flip(path, 60)
    while health.subsystems["log"].state == "ready":
        await asyncio.sleep(0.01)
    assert health.is_ready, "the node serves the rest"
    assert SEALED in health.subsystems["log"].detail
    assert [record.n for record in log.read("here", limit=8)] == list(range(1, 9))
    assert [record.n for record in log.read("here", after=16)] == list(range(17, 29))
    with pytest.raises(LogDamaged):
        list(log.read("here"))
    reads = [
        lambda: log.get("here", 12),
        log.files,
        lambda: log.segments("here")[1].path,
    ]
    for read in reads:
        with pytest.raises(LogDamaged, match="rookery verify"):
            read()
    flip(path, 60)
    while health.subsystems["log"].state != "ready":
        await asyncio.sleep(0.01)
    working.cancel()
    assert [record.n for record in log.read("here")] == list(range(1, 29))


async def test_a_round_that_fails_is_told_and_others_follow(log: Log) -> None:
    health, fails = Health(), [True]

    async def heal(findings: Sequence[Finding]) -> tuple[Healed, ...]:
        if fails:
            raise OSError("gone away")
        return ()

    ours = Verifier(log, health, ["here"], 1_000.0, heal=heal)
    flip(log.folder / "here" / SEALED, 60)
    working = asyncio.create_task(ours.run())
    while "OSError: gone away" not in health.subsystems["log"].detail:
        assert not working.done()
        await asyncio.sleep(0.01)
    assert health.is_ready, "the node serves the rest"
    with pytest.raises(LogDamaged, match="rookery verify"):
        assert log.segments("here")[1].path
    fails.clear()
    while not ours.rounds:
        assert not working.done()
        await asyncio.sleep(0.01)
    assert SEALED in health.subsystems["log"].detail
    working.cancel()


async def test_where_healing_fails_what_was_found_is_served_to_nobody_all_the_same(log: Log) -> None:
    async def heal(findings: Sequence[Finding]) -> tuple[Healed, ...]:
        raise OSError("gone away")

    flip(log.folder / "here" / SEALED, 60)
    with pytest.raises(OSError, match="gone away"):
        await Verifier(log, Health(), ["here"], 0, heal=heal).verify(heal=True)
    with pytest.raises(LogDamaged, match="rookery verify"):
        assert log.segments("here")[1].path


def test_what_is_wrong_with_one_origin_keeps_no_other_from_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FINDINGS_MAX", 2)
    for opened in range(1, 5):
        with Log.open(tmp_path, segment_events_max=8, signer=Signer(new_seed())) as log:
            log.append("aaa", many(8 * opened))
            if opened == 4:
                log.append("local", many(8, first=101))
            log.seal_full_segments()
    find = partial(verify, tmp_path, deep=True, signers={"local": log.signer.public if log.signer else ""})
    found = verified(find, deep=True, watch=id)
    assert [finding.kind for finding in found.findings] == ["signer_changed"] * 2
    assert (found.is_sound, found.more) == (True, False), "what is no damage is no reason for more"
    flip(tmp_path / "local" / f"{1:020}.ndjson.zst", 60)
    found = verified(find, deep=True, watch=id)
    assert [finding.kind for finding in found.findings] == ["segment_altered", *["signer_changed"] * 2]
    assert (found.is_sound, found.more) == (False, False)


async def test_a_log_with_more_damage_than_is_listed_is_not_sound(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FINDINGS_MAX", 1)
    for first in (1, 9):
        flip(log.folder / "here" / f"{first:020}.ndjson.zst", 60)

    async def heal(findings: Sequence[Finding]) -> list[Healed]:
        return [Healed(one.origin, one.file.partition("/")[2], 1, 16, "a peer", "altered") for one in findings]

    health = Health()
    found = await Verifier(log, health, ["here"], 0, heal=heal).verify(heal=True)
    assert (found.findings, found.more, found.is_sound) == ([], True, False)
    assert health.subsystems["log"].state == "degraded"


async def test_what_the_log_may_have_already_waits_until_it_can_be_seen(log: Log) -> None:
    flip(log.folder / "here" / SEALED, 60)
    await verifier(log, Health()).verify()
    log.append("here", many(30))
    log.rewind("here")
    with pytest.raises(LogWriteFailed):
        log.append("here", many(30))
    flip(log.folder / "here" / SEALED, 60)
    await verifier(log, Health()).verify()
    assert log.append("here", many(30)).duplicates == 30


async def test_a_quick_look_does_not_take_back_what_a_deep_one_found(log: Log) -> None:
    ours = verifier(log, Health())
    summary = log.folder / "here" / f"{9:020}.index.json"
    flip(summary, summary.read_bytes().index(b"coder-7"))
    assert [finding.kind for finding in (await ours.verify(deep=True)).findings] == ["summary_damaged"]
    assert (await ours.verify()).is_sound
    assert ours.latest
    assert not ours.latest.is_sound
    assert log.get("here", 9), "what is derived is no reason to refuse the lines"


async def test_one_verification_is_asked_for_at_a_time_and_a_node_that_closes_stops_it(log: Log) -> None:
    ours = verifier(log, Health())
    first, second = await asyncio.gather(ours.verify(), ours.verify(), return_exceptions=True)
    assert isinstance(second, VerificationRunning)
    assert not isinstance(first, BaseException)
    ours.close()
    with pytest.raises(VerificationStopped):
        await ours.verify()
    assert ours.status().running is None


class DriftedBus(MemoryBus):
    """One whose stream somebody changed."""

    async def drift(self) -> list[str]:
        return ["EVENTS: max_msgs is 10, not -1"]


async def test_a_stream_that_somebody_changed_is_told_where_somebody_asks(log: Log) -> None:
    found = await Verifier(log, Health(), ["here"], 0, bus=DriftedBus()).verify()
    assert (found.findings, found.stream_drift) == ([], ["EVENTS: max_msgs is 10, not -1"])
    assert not found.is_sound
    assert (await Verifier(log, Health(), ["here"], 0, bus=MemoryBus()).verify()).is_sound


async def test_where_the_rate_is_nought_it_waits_to_be_asked(log: Log) -> None:
    await verifier(log, Health(), 0).run()


def test_a_node_keeps_its_key_for_its_owner_alone(tmp_path: Path) -> None:
    first = signer_in(tmp_path)
    assert signer_in(tmp_path).public == first.public
    assert os.stat(tmp_path / KEY_FILE).st_mode & 0o777 == 0o600
    (tmp_path / KEY_FILE).write_bytes(b"no key")
    with pytest.raises(NodeKeyUnusable, match="bring it back from a backup, or remove it"):
        signer_in(tmp_path)
