"""A node as a child process on ports of its own: what benchmarks and tests measure and ask from outside."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..data_folder import RunningNode

STOP_SECONDS_MAX = 30.0


class NodeProcess(NamedTuple):
    """The process, what it announced, and how long it took to be ready."""

    process: subprocess.Popen[bytes]
    node: RunningNode
    ready_seconds: float


@contextmanager
def node_process(data: Path, *options: str) -> Iterator[NodeProcess]:
    """Run `rookery up` on `data`, on ports that are free; stop it on the way out."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "rookery.ops.cli", "up", "--json", f"--data={data}", "--port=0", "--nats-port=0"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the node on {data} ended with exit code {process.wait()} before it was ready")
        yield NodeProcess(process, msgspec.json.decode(line, type=RunningNode), time.perf_counter() - started)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
