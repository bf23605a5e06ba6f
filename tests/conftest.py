"""What tests share: a real nats-server of one's own, the bus on it, the bus in memory, and events to send."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import settings
from rookery.bus import MemoryBus, NatsBus
from rookery.ops.nats_server import NatsServer
from rookery.schemas import AssignmentStarted, Event
from rookery.tests.ports import vacant_port

MakeEvent = Callable[..., Event]

# Hypothesis would fail an example that takes a fifth of a second, which on a busy machine any does once in a while.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A real nats-server, on a port of its own, also while it is down, with a store of its own (30 ms to start)."""
    with vacant_port() as port:
        async with await NatsServer.start(tmp_path / "nats-server", port=port) as server:
            yield server


@pytest.fixture
async def nats_bus(nats_server: NatsServer) -> AsyncIterator[NatsBus]:
    """The bus on `nats_server`."""
    async with await NatsBus.connect(nats_server.url) as bus:
        yield bus


@pytest.fixture
async def memory_bus() -> AsyncIterator[MemoryBus]:
    """The bus in memory."""
    async with MemoryBus() as bus:
        yield bus


@pytest.fixture
def make_event() -> MakeEvent:
    """Make an event about the assignment `subject`; ids are fresh unless one is given."""

    def make(subject: str = "as-1", *, agent_id: str = "coder-7", id: str | None = None) -> Event:
        return Event.of(AssignmentStarted(agent_id=agent_id), subject=subject, source=f"/agents/{agent_id}", id=id)

    return make


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder with recordings of real agents; tests of them are skipped where it isn't at hand."""
    folder = os.environ.get("ROOKERY_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("recorded data: set ROOKERY_TEST_DATA to the folder that holds it")
    return Path(folder)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Node's packages that some tests run; those are skipped where there is no Node, or `make node` was not run."""
    folder = Path(__file__).resolve().parent.parent / ".cache" / "node" / "node_modules"
    if not shutil.which("node") or not folder.is_dir():
        pytest.skip("Node: install it, and run `make node`")
    return folder
