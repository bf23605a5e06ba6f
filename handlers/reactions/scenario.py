"""Scenarios: how a test of a decider reads.

given(BUDGETS, BudgetSet(limit_usd="10")).when(Spend(amount_usd="11")).then(BudgetExceeded(by_usd="1"))
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ...schemas import EventData, RookeryError
from .contexts import Command, CommandData, Context, Happened

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Given(NamedTuple):
    """What had happened to one entity, a second apart, the first at noon."""

    context: Context[Any]
    facts: tuple[EventData, ...]

    def when(self, data: CommandData, *, after_seconds: float = 1.0) -> When:
        """A command that comes so long after the last of it."""
        past = [Happened(fact, NOON + timedelta(seconds=at)) for at, fact in enumerate(self.facts)]
        time = NOON + timedelta(seconds=max(len(past) - 1, 0) + after_seconds)
        command = Command(subject="x", data=data, source="/tests/scenario", id="command", time=time)
        state = self.context.fold(past)
        try:
            return When(self.context.decide(command, state), None)
        except RookeryError as refusal:
            return When([], refusal)


class When(NamedTuple):
    """What was decided, or why it was refused."""

    events: Sequence[EventData]
    refusal: RookeryError | None

    def then(self, *expected: EventData) -> None:
        """These events, and no others."""
        if self.refusal is not None:
            raise AssertionError(f"refused: {self.refusal}") from self.refusal
        if list(self.events) != list(expected):
            raise AssertionError(f"decided {list(self.events)}, not {list(expected)}")

    def then_refused(self, kind: type[RookeryError]) -> None:
        """It is refused, and in this way."""
        if not isinstance(self.refusal, kind):
            raise AssertionError(f"expected {kind.__name__}; decided {list(self.events)}, refused {self.refusal!r}")


def given(context: Context[Any], *facts: EventData) -> Given:
    """Begin a scenario."""
    return Given(context, facts)
