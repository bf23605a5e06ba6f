"""Stopping: an agent hears that what it has in hand is over, since somebody else ended it."""

from __future__ import annotations

import logging

from ...bus import Bus, CommandFailed, CommandRefused, NoResponder, RequestTimedOut
from ...schemas import escape

# Who doesn't answer in this time is not there, and finds out when it wants to say what came of it.
ANSWER_SECONDS = 2.0

logger = logging.getLogger(__name__)


def stop_subject(agent_id: str) -> str:
    """Where an agent hears that it is to stop an assignment."""
    return f"cmd.agent.stop.{escape(agent_id)}"


async def stop(bus: Bus, agent_id: str, assignment_id: str) -> None:
    """Tell the agent to stop an assignment. Whether it hears or not: what comes of it no longer counts."""
    try:
        await bus.request(stop_subject(agent_id), assignment_id.encode(), timeout_seconds=ANSWER_SECONDS)
    except (NoResponder, RequestTimedOut, CommandFailed, CommandRefused) as error:
        logger.info("agent %s did not hear that assignment %s is over: %s", agent_id, assignment_id, error)
