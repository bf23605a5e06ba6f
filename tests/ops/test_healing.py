"""A node heals its log before it serves anything of it, and says so; where it can't, it says what is missing."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rookery.eventstore import HealingFailed, Log
from rookery.eventstore.healing import heal
from rookery.ops.bench import workload
from rookery.ops.data_folder import DataFolder
from rookery.ops.healing import PeerSource, heal_offline
from rookery.ops.node import Node, running_node
from rookery.ops.settings import Settings
from rookery.ops.syncing import LogPeer
from rookery.schemas import encode
from rookery.tests.blocks import move_sequence
from rookery.tests.eventstore.test_recovery import flip
from rookery.tests.ops.conftest import command_line

FIRST = "log/local/00000000000000000001.ndjson.zst"
MANIFEST = "log/local/manifest.ndjson"


def settings(folder: Path, **more: Any) -> Settings:
    return Settings(data=folder, nats_port=0, segment_events_max=20, **more)


async def lived(folder: Path) -> dict[str, bytes]:
    """A node lives, and leaves a folder: two sealed segments, and a third that the lives after it won't fill."""
    with DataFolder(folder) as owned:
        async with running_node(owned, settings(folder)) as node:
            await node.take([encode(event) for event in workload.events(43)])
            while node.log.has_full_segments:
                await node.until(0, "visible")
    return {path.name: path.read_bytes() for path in (folder / "log" / "local").glob("*.zst")}


async def with_node(folder: Path, look: Callable[[Node], Any]) -> Any:
    with DataFolder(folder) as owned:
        async with running_node(owned, settings(folder)) as node:
            return look(node)


def open_file(folder: Path) -> Path:
    return max(path for path in (folder / "log" / "local").glob("*.ndjson") if path.name != "manifest.ndjson")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a segment is cut short": lambda folder: os.truncate(folder / FIRST, 60),
    "a segment is gone": lambda folder: (folder / FIRST).unlink(),
    "the manifest is gone": lambda folder: (folder / MANIFEST).unlink(),
    "a bit of an open line": lambda folder: flip(open_file(folder), 200),
}


async def test_a_node_heals_its_log_from_its_bus_and_from_itself_before_it_serves(tmp_path: Path) -> None:
    whole = await lived(tmp_path)
    for damage in DAMAGES.values():
        damage(tmp_path)
        health = await with_node(tmp_path, lambda node: node.look().subsystems["healing"])
        assert "healed local:" in health.detail
        held = {path.name: path.read_bytes() for path in (tmp_path / "log" / "local").glob("*.zst")}
        assert held.items() >= whole.items()
    told = await with_node(tmp_path, lambda node: list(node.log.search(types={"log.healed"})))
    assert len(told) == len(DAMAGES)


async def test_a_node_whose_nats_server_found_its_store_damaged_loses_nothing_and_says_what_it_found(
    tmp_path: Path,
) -> None:
    await lived(tmp_path)
    move_sequence(tmp_path, 30, bit=12)
    with DataFolder(tmp_path) as owned:
        async with running_node(owned, settings(tmp_path)) as node:
            await node.take([encode(event) for event in workload.events(5, seed=2)])
            parts = node.look().subsystems
            assert node.health.is_ready
            assert {name: parts[name].state for name in ("bus-store", "bus-history", "ingest")} == {
                "bus-store": "degraded", "bus-history": "degraded", "ingest": "ready"
            }  # fmt: skip
            assert "messages of its stream EVENTS are gone" in parts["bus-store"].detail
            for told in ("bus.damaged", "bus.regressed"):
                while not list(node.log.search(types={told})):
                    await asyncio.sleep(0.01)


async def test_what_nobody_has_keeps_the_node_from_starting_and_is_told(tmp_path: Path) -> None:
    await lived(tmp_path)
    shutil.rmtree(tmp_path / "nats")
    os.truncate(tmp_path / FIRST, 60)
    with pytest.raises(HealingFailed, match="local:1 to local:20"):
        await with_node(tmp_path, lambda node: None)


async def test_a_folder_is_healed_without_a_node(tmp_path: Path) -> None:
    whole = await lived(tmp_path)
    os.truncate(tmp_path / FIRST, 60)
    with DataFolder(tmp_path) as owned:
        found = await heal_offline(owned, settings(tmp_path))
        assert [one.source for one in found.healed] == ["the bus"]
        assert (tmp_path / FIRST).read_bytes() == whole[Path(FIRST).name]
        assert await heal_offline(owned, settings(tmp_path)) == ((), ())


async def test_a_node_that_runs_heals_what_its_verification_finds(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as owned:
        async with running_node(owned, settings(tmp_path)) as node:
            await node.take([encode(event) for event in workload.events(50)])
            while node.log.has_full_segments:
                await node.until(0, "visible")
            whole = (tmp_path / FIRST).read_bytes()
            flip(tmp_path / FIRST, 60)
            flip(open_file(tmp_path), 200)
            assert not (await node.verifier.verify(deep=True)).is_sound
            found = await node.verifier.verify(deep=True, heal=True)
            assert (found.is_sound, len(found.healed)) == (True, 2)
            assert (tmp_path / FIRST).read_bytes() == whole
            assert (await node.verifier.verify(deep=True)).is_sound
            await node.take([encode(event) for event in workload.events(60)])
            assert [record.n for record in node.log.read("local")] == list(range(1, node.log.vector()["local"] + 1))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_peer_gives_what_it_has_copied(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    await lived(tmp_path / "here")
    here = tmp_path / "here" / "log"
    shutil.copytree(here, tmp_path / "there")
    whole = {path.name: path.read_bytes() for path in (here / "local").glob("*ndjson*")}
    damage(tmp_path / "here")
    with Log.open(tmp_path / "there", writable=False) as there:
        source = PeerSource(LogPeer(there, "there"), asyncio.get_running_loop())
        found = await asyncio.to_thread(heal, here, [source])
    assert (len(found.healed), found.unhealed) == (1, ())
    held = {path.name: path.read_bytes() for path in (here / "local").glob("*ndjson*") if path.suffix != ".damaged"}
    assert held == whole


def test_the_command_heals_a_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asyncio.run(lived(tmp_path))
    os.truncate(tmp_path / FIRST, 60)
    run = command_line(capfd)
    assert run("verify", "--data", tmp_path).code == 1
    healed = run("verify", "--heal", "--data", tmp_path)
    assert (healed.code, "from the bus" in healed.out) == (0, True), healed.out + healed.err
    assert run("verify", "--data", tmp_path).code == 0
