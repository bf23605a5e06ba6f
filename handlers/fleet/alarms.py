"""Alarms: an agent that was declared dead is told to whoever wants to be woken."""

from __future__ import annotations

from ...schemas import AgentStateChanged
from ..alerts import ALERTS, Raise, is_late
from ..reactions import Answer, Ask, Cause, Reactions


async def report_lost_agent(cause: Cause) -> Answer:
    """Each agent once an hour: one that comes and goes is one trouble. A suspect may only be slow, and wakes nobody."""
    changed: AgentStateChanged = cause.data
    if changed.state != "expired" or is_late(cause):
        return None
    agent_id = cause.entity.id
    why = f": {changed.reason}" if changed.reason else ""
    text = f"agent {agent_id} was declared dead{why}"
    about = f"{cause.entity.kind}/{agent_id}"
    raised = Raise(kind="agent_expired", text=text, entity=about, agent_id=agent_id, cause=cause.address)
    return [Ask(ALERTS, f"agent_expired {agent_id}"[:256], raised)]


REACTIONS = Reactions("fleet", {AgentStateChanged: [report_lost_agent]})
