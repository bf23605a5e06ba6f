"""Three nats-servers that keep every event three times: they lose their leader, and the network between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import nats
from rookery.bus import EVENT_STREAM, NatsBus
from rookery.ops.nats_server import find_binary

from .auditing import audit, check_fresh_fold
from .colony import Colony, free_port
from .ledger import Ledger
from .publishing import Publishers
from .rows import Row
from .storms import Tell
from .wire import Wire

NAMES = ("north", "east", "west")
THRICE = msgspec.structs.replace(EVENT_STREAM, num_replicas=3)
START_SECONDS_MAX = 60.0
POLL_SECONDS = 0.2
EVENTS_BETWEEN_MAX = 2_000
DOWN_SECONDS_MAX = 4.0
SPLIT_SECONDS = (8.0, 16.0)  # an election begins after 4 to 9 s without a leader
NOWHERE = "127.0.0.1:1"  # what servers tell each other of a third's address: they only know the wires


class Cluster:
    """Three servers, each with a wire to each of the others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binary = find_binary()
        self._ports = {name: free_port() for name in NAMES}
        self._route_ports = {name: free_port() for name in NAMES}
        self._wires: dict[tuple[str, str], Wire] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    @property
    def url(self) -> str:
        """Any of them; whoever connects learns of the others."""
        return f"nats://127.0.0.1:{self._ports[NAMES[0]]}"

    async def open(self) -> None:
        """Run all three, with a stream of three replicas."""
        for near in NAMES:
            for far in NAMES:
                if near != far:
                    self._wires[near, far] = wire = Wire(self._route_ports[far])
                    await wire.open()
        for name in NAMES:
            await self.start(name)
        async with asyncio.timeout(START_SECONDS_MAX):
            while True:
                try:
                    async with await NatsBus.connect(self.url, stream=THRICE):
                        return
                except Exception:  # there is no leader yet, whatever they call that
                    await asyncio.sleep(POLL_SECONDS)

    async def start(self, name: str) -> None:
        """Run one of them, on the store that it had."""
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "nats-server.conf"
        config.write_text(json.dumps(self._config(name, folder)))
        self._processes[name] = await asyncio.create_subprocess_exec(
            self._binary, "-c", config, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )

    async def kill(self, name: str) -> None:
        """`kill -9` one of them."""
        self._processes[name].kill()
        await self._processes[name].wait()

    def split(self, minority: str) -> None:
        """Cut one of them off from the other two."""
        for ends, wire in self._wires.items():
            if minority in ends:
                wire.cut()

    def mend(self) -> None:
        """Let all of them hear each other again."""
        for wire in self._wires.values():
            wire.mend()

    async def leader(self) -> str:
        """Who leads the event stream, once all three are there and level with each other."""
        while True:
            info = await self._info()
            replicas = info.get("replicas", [])
            if info.get("leader") and len(replicas) == 2 and all(one.get("current") for one in replicas):
                return str(info["leader"])
            await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        """End all of it."""
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()
                await process.wait()
        for wire in self._wires.values():
            await wire.close()

    async def _info(self) -> dict[str, Any]:
        for name in NAMES:
            try:
                client = await nats.connect(
                    f"nats://127.0.0.1:{self._ports[name]}", allow_reconnect=False, connect_timeout=1
                )
                try:
                    answer = await client.request(f"$JS.API.STREAM.INFO.{EVENT_STREAM.name}", b"", timeout=2)
                finally:
                    await client.close()
            except (nats.errors.Error, OSError):
                continue
            if cluster := json.loads(answer.data).get("cluster"):
                return dict(cluster)
        return {}

    def _config(self, name: str, folder: Path) -> dict[str, object]:
        routes = [f"nats-route://127.0.0.1:{wire.port}" for (near, _), wire in self._wires.items() if near == name]
        return {
            "server_name": name,
            "host": "127.0.0.1",
            "port": self._ports[name],
            "log_file": str(folder / "nats-server.log"),
            "jetstream": {"store_dir": str(folder / "nats"), "sync_interval": "always"},
            "cluster": {
                "name": "rookery",
                "host": "127.0.0.1",
                "port": self._route_ports[name],
                "pool_size": -1,
                "advertise": NOWHERE,
                "routes": routes,
            },
        }


@asynccontextmanager
async def _running(folder: Path) -> AsyncIterator[tuple[Cluster, Colony]]:
    async with AsyncExitStack() as stack:
        cluster = Cluster(folder / "cluster")
        stack.push_async_callback(cluster.close)
        await cluster.open()
        node = Colony(folder, None, f"--nats-url={cluster.url}")
        stack.push_async_callback(node.stop)
        await node.start()
        yield cluster, node


async def lose_leader(folder: Path, seed: int, times: int, tell: Tell) -> list[Row]:
    """The leader is killed while everybody publishes, and comes back some time later."""

    async def strike(cluster: Cluster, chance: Random) -> None:
        leader = await cluster.leader()
        await cluster.kill(leader)
        await asyncio.sleep(chance.uniform(0.1, DOWN_SECONDS_MAX))
        await cluster.start(leader)

    return [await _strike(folder, seed, times, tell, strike, "kill -9 of a three-server cluster's leader")]


async def split(folder: Path, seed: int, times: int, tell: Tell) -> list[Row]:
    """The leader is cut off from the other two, who elect another; its clients remain with it."""

    async def strike(cluster: Cluster, chance: Random) -> None:
        cluster.split(await cluster.leader())
        await asyncio.sleep(chance.uniform(*SPLIT_SECONDS))
        cluster.mend()

    return [await _strike(folder, seed, times, tell, strike, "a cluster's leader is cut off from the others")]


async def _strike(folder: Path, seed: int, times: int, tell: Tell, strike: Any, fault: str) -> Row:
    chance, ledger = Random(seed), Ledger()
    async with _running(folder) as (cluster, node):
        publishers = Publishers(ledger, "c")
        async with publishers.at_work(cluster.url, None):
            for count in range(1, times + 1):
                await publishers.a_while(chance.randrange(EVENTS_BETWEEN_MAX))
                await strike(cluster, chance)
                await publishers.a_while(1)
                async with publishers.resting():
                    verdict = await audit(node, ledger)
                tell(f"{count}/{times} {fault}: {verdict}")
        verdict = await audit(node, ledger)
        await node.stop()
        await asyncio.to_thread(check_fresh_fold, node.data)
    return Row(
        fault=fault,
        times=times,
        acknowledged=verdict.acknowledged,
        lost=verdict.lost,
        doubled=verdict.doubled,
        wrong=verdict.wrong,
        healed=times,
        seed=seed,
    )
