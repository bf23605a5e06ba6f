"""Real nats-servers of a topology, as `ops/topology.py` writes it, that a test can kill, hold up and bring back."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path

from rookery.ops.nats_server import find_binary
from rookery.ops.topology import LEAF_PORT_OFFSET, ROUTE_PORT_OFFSET

_PORTS = range(20_000, 28_000)
_PORTS_EACH = 101


class Servers:
    """The nats-servers whose folders lie in `folder`."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self.folder = folder
        self.names = list(names)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *names: str) -> None:
        """Start these servers, or all; those that run already are left alone."""
        for name in names or self.names:
            if name not in self._processes:
                config = self.folder / name / "nats-server.conf"
                with (self.folder / f"{name}.log").open("ab") as log:
                    self._processes[name] = subprocess.Popen(
                        [find_binary(), "-c", config], stdout=log, stderr=log, preexec_fn=_die_with_parent
                    )

    def kill(self, name: str) -> None:
        """End it as a power cut would."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def hold_up(self, name: str) -> None:
        """Let it do nothing until it may `go_on`."""
        os.kill(self._processes[name].pid, signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        os.kill(self._processes[name].pid, signal.SIGCONT)

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)


def free_addresses(count: int) -> list[str]:
    """`HOST:PORT` for so many servers, each with room for its routes and leaf nodes."""
    return [f"127.0.0.1:{port}" for port in free_ports(count)]


def free_ports(count: int) -> list[int]:
    """Ports that nobody is given who asks for any: where one is free now, it is so when its server starts."""
    found: list[int] = []
    start = os.getpid() * _PORTS_EACH % len(_PORTS)  # processes that look at the same time find others
    for port in (*_PORTS[start:], *_PORTS[:start]):
        if all(_is_free(port + offset) for offset in (0, ROUTE_PORT_OFFSET, LEAF_PORT_OFFSET)):
            found.append(port)
            if len(found) == count:
                return found
    raise AssertionError("no ports are free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _die_with_parent() -> None:
    if hasattr(signal, "SIGSTOP") and os.uname().sysname == "Linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
