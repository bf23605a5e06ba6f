"""The other side of the work: a program that gives tasks to agents and waits for what comes of them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ...bus import Bus, NatsBus
from ...schemas import AssignmentCreated, new_id
from .agent import NATS_URL, NATS_URL_VARIABLE, credentials
from .assigning import RESULT_TIMEOUT_SECONDS, assign, created, is_begun, result_of
from .profile import check_agent_id


class Colony:
    """The agents on a bus, as who gives them work sees them. `name` says in the record who that was."""

    def __init__(self, bus: Bus, *, name: str = "client") -> None:
        self.bus = bus
        self._source = f"/clients/{check_agent_id(name)}"

    async def assign(
        self,
        capability: str,
        input: Any = None,
        *,
        agent_id: str | None = None,
        timeout_seconds: float | None = None,
        id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> str:
        """Give a task to whoever has the capability, or to one agent, and return the assignment's id.

        The task waits until somebody takes it up. `timeout_seconds` is how long an attempt at it may take. With an
        `id`, giving it again after a failure is safe. Raises `InvalidEvent`, `EventTooLarge` or `BusUnavailable`.
        """
        if id is not None and await is_begun(self.bus, id):
            return id
        assignment_id = id or new_id()
        task = AssignmentCreated(
            kind=capability,
            skill=capability,
            agent_id=agent_id,
            timeout_seconds=timeout_seconds,
            input=input,
            metadata=metadata,
        )
        await assign(self.bus, created(task, assignment_id, source=self._source))
        return assignment_id

    async def result(self, assignment_id: str, *, timeout_seconds: float = RESULT_TIMEOUT_SECONDS) -> Any:
        """What came of a task, however long ago it was done. Raises `TaskFailed`, or `NoResult` in time."""
        return await result_of(self.bus, assignment_id, timeout_seconds=timeout_seconds)


@asynccontextmanager
async def connect(nats_url: str | None = None, *, name: str = "client") -> AsyncIterator[Colony]:
    """The colony on the bus at `nats_url`, `ROOKERY_NATS_URL`, or on this machine. Raises `BusUnavailable`.

    What it shows to a bus that asks who is there is the file that `ROOKERY_NATS_CREDENTIALS` names.
    """
    url = nats_url or os.environ.get(NATS_URL_VARIABLE) or NATS_URL
    async with await NatsBus.connect(url, name=name, credentials=credentials()) as bus:
        yield Colony(bus, name=name)
