"""One agent, one process: an agent that is at work answers to its name, and a second one of that name is refused."""

from __future__ import annotations

import os
import socket

from ...bus import Bus, CommandFailed, KeyNotFound, NoResponder, RequestTimedOut, RevisionConflict, Service
from ...schemas import derived_id, escape
from .errors import NameTaken

BUCKET = "AGENTS"
# Whoever doesn't answer in this time is gone, and the bus hasn't noticed yet.
ANSWER_SECONDS = 2.0


async def claim(bus: Bus, agent_id: str) -> Service:
    """Answer to the name from now on. Raises `NameTaken`.

    Of two who claim it in the same moment one has it: both write their claim, over the one that both saw.
    """
    me = f"process {os.getpid()} on {socket.gethostname()}"
    subject = f"cmd.agent.greet.{escape(agent_id)}"
    claims = await bus.key_value(BUCKET)
    key = derived_id(agent_id)
    try:
        seen = (await claims.get(key)).revision
    except KeyNotFound:
        seen = 0
    if by := await _at_work(bus, subject):
        raise NameTaken(agent_id, by)

    async def answer(_: bytes) -> bytes:
        return me.encode()

    service = await bus.serve(subject, answer, queue="agent")
    try:
        await claims.put(key, me.encode(), expected_revision=seen)
    except RevisionConflict:
        await service.close()
        raise NameTaken(agent_id, "it started in this very moment") from None
    return service


async def _at_work(bus: Bus, subject: str) -> str | None:
    """Who answers to the name, if anybody does."""
    try:
        return (await bus.request(subject, b"", timeout_seconds=ANSWER_SECONDS)).decode(errors="replace")
    except (NoResponder, RequestTimedOut, CommandFailed):
        return None
