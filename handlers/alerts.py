"""Alerts: failed runs, dead letters and parked reactions become events that somebody can be woken by.

What is told long after it happened, as by an import, is history and wakes nobody. The same alert is not raised again
within an hour: a reader of the log finds everything there, and who is woken wants to be woken once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from ..eventstore import DeadLetter
from ..schemas import AlertRaised, EventData, ReactionParked, RunFailed
from ..schemas.personal import SEALED_IN_TEXT
from .reactions import Answer, Ask, Cause, Command, CommandData, Context, Happened, Reactions

QUIET_SECONDS = 3600.0
LATE_SECONDS = 600.0
TEXT_CHARACTERS_MAX = 500
SEALED = "(personal, and sealed)"  # in place of what only the event itself may hold


class Raise(CommandData, frozen=True, kw_only=True):
    """Raise the alert, unless it was raised within the hour."""

    kind: str
    severity: Literal["warning", "critical"] = "warning"
    text: str
    entity: str | None = None
    agent_id: str | None = None
    cause: str | None = None


class Alert(NamedTuple):
    """When the alert was raised last."""

    raised_at: datetime | None = None


def initial() -> Alert:
    """It never was."""
    return Alert()


def decide(command: Command, alert: Alert) -> Sequence[EventData]:
    """An alert of an earlier moment than the last is none either: it was late in coming."""
    quiet = timedelta(seconds=QUIET_SECONDS)
    if alert.raised_at is not None and command.time < alert.raised_at + quiet:
        return []
    asked: Raise = command.data
    return [
        AlertRaised(
            kind=asked.kind,
            severity=asked.severity,
            text=SEALED_IN_TEXT.sub(SEALED, asked.text)[:TEXT_CHARACTERS_MAX],
            entity=asked.entity,
            agent_id=asked.agent_id,
            cause=asked.cause,
        )
    ]


def evolve(alert: Alert, fact: Happened) -> Alert:
    """The latest time counts."""
    if not isinstance(fact.data, AlertRaised):
        return alert
    return Alert(fact.time if alert.raised_at is None else max(alert.raised_at, fact.time))


ALERTS = Context("alerts", "alert", {"raise": Raise}, initial, decide, evolve)


async def report_failed_run(cause: Cause) -> Answer:
    """Once an hour for each agent: many runs fail together, and for the same reason."""
    failed: RunFailed = cause.data
    if is_late(cause):
        return None
    who = failed.agent_id or cause.entity.id
    text = f"a run of {failed.agent_id} failed: {failed.error}" if failed.agent_id else f"a run failed: {failed.error}"
    return [_raised(cause, "run_failed", who, text, agent_id=failed.agent_id)]


async def report_dead_letter(cause: Cause) -> Answer:
    """Once an hour for each type, or each fault where there is no telling what it was to be."""
    letter: DeadLetter = cause.data
    what = letter.type or letter.fault
    text = f"{letter.type or 'something that is no event'} came that no read model holds: {letter.reason}"
    return [_raised(cause, "dead_letter", what, text)]


async def report_parked_reaction(cause: Cause) -> Answer:
    """Each by itself, save those of alerts: who can't tell can't tell of that either, and health does."""
    parked: ReactionParked = cause.data
    if parked.reaction.startswith("alerts."):
        return None
    text = f"{parked.reaction} is parked, and {parked.entity} waits behind it: {parked.error}"
    return [_raised(cause, "reaction_parked", cause.entity.id, text, severity="critical", entity=parked.entity)]


def is_late(cause: Cause) -> bool:
    """Whether it was told so long after it happened that it is no news."""
    return abs((cause.recorded_time - cause.time).total_seconds()) > LATE_SECONDS


def _raised(
    cause: Cause,
    kind: str,
    what: str,
    text: str,
    *,
    severity: Literal["warning", "critical"] = "warning",
    entity: str | None = None,
    agent_id: str | None = None,
) -> Ask:
    about = entity or f"{cause.entity.kind}/{cause.entity.id}"
    raised = Raise(kind=kind, severity=severity, text=text, entity=about, agent_id=agent_id, cause=cause.address)
    return Ask(ALERTS, f"{kind} {what}"[:256], raised)


REACTIONS = Reactions(
    "alerts",
    {
        RunFailed: [report_failed_run],
        DeadLetter: [report_dead_letter],
        ReactionParked: [report_parked_reaction],
    },
)
