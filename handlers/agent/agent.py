"""The agent: a name, the capabilities it has, and a function for each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ...bus import Bus, BusUnavailable, NatsBus
from . import attempt
from .errors import InvalidAgent, UnknownCapability
from .profile import ATTEMPTS_MAX, CAPABILITIES_MAX, CONCURRENCY_MAX, Handler, Profile, check_agent_id, check_range
from .serving import AWAY_SECONDS, FAREWELL_SECONDS, Serving

NATS_URL = "nats://127.0.0.1:4222"
NATS_URL_VARIABLE = "ROOKERY_NATS_URL"
NATS_CREDENTIALS_VARIABLE = "ROOKERY_NATS_CREDENTIALS"
DAY_SECONDS = 24 * 3600.0
CONNECT_PAUSE_SECONDS = 2.0

Function = TypeVar("Function", bound=Callable[[Any], Any])

logger = logging.getLogger(__name__)


class Agent:
    """One of a colony. Give it a function for each of its capabilities with `@agent.on(…)`, then `agent.run()`.

    At most `concurrency` tasks are worked on at once. A task that fails is tried `attempts_max` times, by whoever has
    the capability, `retry_seconds` after the first time and twice as long after each further one. Every
    `heartbeat_seconds` the agent says that it is alive. When it is told to stop, the tasks in hand have `drain_seconds`
    to end; what hasn't then goes to others. It is chosen for at most `assignments_max` tasks at once, or as many as the
    node is set to; without `pulls`, it takes only what is given to it by name. `nats_url` is `ROOKERY_NATS_URL`, or a
    node on this machine, unless given.

    Raises `InvalidAgent`.
    """

    def __init__(
        self,
        agent_id: str,
        capabilities: Sequence[str],
        *,
        nats_url: str | None = None,
        concurrency: int = 8,
        heartbeat_seconds: float = 10.0,
        drain_seconds: float = 30.0,
        attempts_max: int = 3,
        retry_seconds: float = 1.0,
        role: str | None = None,
        version: str | None = None,
        assignments_max: int | None = None,
        pulls: bool = True,
    ) -> None:
        self.id = check_agent_id(agent_id)
        self.nats_url = nats_url or os.environ.get(NATS_URL_VARIABLE) or NATS_URL
        check_range("concurrency", concurrency, 1, CONCURRENCY_MAX)
        check_range("heartbeat_seconds", heartbeat_seconds, 0.01, DAY_SECONDS)
        check_range("drain_seconds", drain_seconds, 0, DAY_SECONDS)
        check_range("attempts_max", attempts_max, 1, ATTEMPTS_MAX)
        check_range("retry_seconds", retry_seconds, 0, DAY_SECONDS)
        check_range("the number of capabilities", len(capabilities), 1, CAPABILITIES_MAX)
        self._handlers: dict[str, Handler] = {}
        self.profile = Profile(
            agent_id=agent_id,
            capabilities=tuple(dict.fromkeys(capabilities)),
            handlers=self._handlers,
            concurrency=concurrency,
            heartbeat_seconds=heartbeat_seconds,
            drain_seconds=drain_seconds,
            attempts_max=attempts_max,
            retry_seconds=retry_seconds,
            role=role,
            version=version,
            assignments_max=assignments_max,
            pulls=pulls,
        )
        self.profile.check()

    def on(self, capability: str, *, timeout_seconds: float | None = None) -> Callable[[Function], Function]:
        """The function below does tasks of this capability: `async def`, or a plain `def`, which runs in a thread.

        What it returns is the task's result; what it raises makes the attempt fail. One that is not done in
        `timeout_seconds`, or in the time that the task itself allows, is cancelled, and the task has timed out.

        Raises `UnknownCapability` or `InvalidAgent`.
        """
        if capability not in self.profile.capabilities:
            raise UnknownCapability(self.id, capability, self.profile.capabilities)
        if capability in self._handlers:
            raise InvalidAgent(f"agent {self.id!r} has two functions for {capability!r}")
        if timeout_seconds is not None:
            check_range("timeout_seconds", timeout_seconds, 0.001, DAY_SECONDS)

        def register(function: Function) -> Function:
            self._handlers[capability] = Handler(capability, function, timeout_seconds)
            return function

        return register

    def run(self) -> None:
        """Work until the process is told to stop (SIGTERM, SIGINT), then drain; a second signal stops at once.

        Waits for the bus when it isn't there yet. Raises `NameTaken`, `InvalidAgent`, or what the bus refuses with.
        """
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
        asyncio.run(self._run())

    async def serve(self, bus: Bus | None = None) -> None:
        """Work on this bus, or on the one at `nats_url`, until cancelled; then drain, until cancelled again."""
        if bus is None:
            await self._serve_on_own_bus()
        else:
            async with self.serving(bus) as serving:
                await serving.until_it_fails()

    def serving(self, bus: Bus) -> Serving:
        """Work on this bus for as long as an `async with` block lasts, then drain. Raises `InvalidAgent`."""
        self._check_complete()
        return Serving(self.profile, bus)

    async def _run(self) -> None:
        serving = asyncio.create_task(self.serve(), name=f"agent {self.id}")
        try:
            with _signals(serving.cancel), contextlib.suppress(asyncio.CancelledError):
                await serving
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """End the process even where a handler won't be cancelled: asyncio would wait for it for ever."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        stubborn = (await asyncio.wait(left, timeout=attempt.CANCEL_SECONDS))[1] if left else set()
        if stubborn:
            names = ", ".join(f"{task.get_name()} ({task.get_coro()})" for task in stubborn)
            logger.error("agent %s ends in the midst of what would not be cancelled: %s", self.id, names)
            logging.shutdown()
            os._exit(1)

    async def _serve_on_own_bus(self) -> None:
        self._check_complete()
        bus = await self._connected()
        try:
            await self.serve(bus)
        finally:
            with contextlib.suppress(TimeoutError):  # where the bus is away, there is nothing to wait for
                async with asyncio.timeout(FAREWELL_SECONDS if bus.connected else AWAY_SECONDS):
                    await bus.close()

    def _check_complete(self) -> None:
        if idle := [capability for capability in self.profile.capabilities if capability not in self._handlers]:
            raise InvalidAgent(
                f"agent {self.id!r} has no function for {', '.join(idle)}: give it one with @agent.on(…)"
            )

    async def _connected(self) -> NatsBus:
        """The bus at `nats_url`, waited for as long as it takes."""
        while True:
            try:
                return await NatsBus.connect(self.nats_url, name=self.id, credentials=credentials())
            except BusUnavailable as error:
                logger.warning("agent %s waits: %s", self.id, error)
                await asyncio.sleep(CONNECT_PAUSE_SECONDS)


def credentials() -> Path | None:
    """The file that this process shows to a bus which asks who is there: a NATS `.creds`, or an nkey's seed."""
    named = os.environ.get(NATS_CREDENTIALS_VARIABLE)
    return Path(named) if named else None


@contextmanager
def _signals(stop: Callable[[], Any]) -> Iterator[None]:
    """Call `stop` at SIGTERM and SIGINT, where this thread hears of them."""
    loop = asyncio.get_running_loop()
    heard = [signal.SIGTERM, signal.SIGINT] if threading.current_thread() is threading.main_thread() else []
    for one in heard:
        loop.add_signal_handler(one, stop)
    try:
        yield
    finally:
        for one in heard:
            loop.remove_signal_handler(one)
