"""The summary: timelines without gaps, trends over what is complete, and sums that are those of the events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest
from rookery.handlers.proficiency import Ratings
from rookery.ops.dashboard import dashboard
from rookery.ops.summary import DAYS_MAX, HOURS_MAX, Summary, summary
from rookery.projections import Leash, QueryFailed
from rookery.schemas import Event, LlmCallCompleted
from rookery.tests.projections.colony import NOON, Colony, fact

from .conftest import Recorded
from .history import HOUR, cost, count, history, tokens, unpriced

NOW = NOON + timedelta(minutes=20)


def between(events: Sequence[Event], start: datetime, end: datetime) -> list[Event]:
    return [event for event in events if start <= event.time < end]


def spent(*amounts: str | None, seconds: float = 0) -> list[Event]:
    """Model calls that cost so much; None: nobody knows."""
    return [
        fact(LlmCallCompleted(provider="p", request_model="m", cost_usd=amount), f"call-{seconds}-{index}", seconds)
        for index, amount in enumerate(amounts)
    ]


def assert_figures(found: object, events: Sequence[Event]) -> None:
    """What was found is what the events come to, summed up one by one."""
    expected = {
        "events": len(events),
        "messages": count(events, "message.recorded"),
        "tool_calls": count(events, "tool_call.completed"),
        "tool_errors": count(events, "tool_call.completed", where=lambda event: event.payload().outcome == "error"),
        "llm_calls": count(events, "llm_call.completed", "llm_call.failed"),
        "llm_errors": count(events, "llm_call.failed"),
        "input_tokens": tokens(events, "input_tokens"),
        "output_tokens": tokens(events, "output_tokens"),
        "unpriced_calls": unpriced(events),
    }
    assert {name: getattr(found, name) for name in expected} == expected
    amount = found.cost_usd
    assert (amount is None) == (0 < expected["unpriced_calls"] == expected["llm_calls"])
    assert Decimal(amount or 0) == cost(events)


def test_an_empty_colony_has_a_summary_of_nothing(colony: Colony) -> None:
    found = summary(colony.projections, now=NOW, hours=3, days=2)
    assert_figures(found.totals, [])
    assert (found.totals.cost_usd, found.totals.first_hour) == ("0", None)
    assert [hour.events for hour in found.hourly] == [0, 0, 0]
    assert (found.trends.hourly.events.absolute, found.trends.hourly.events.relative) == (0, None)
    assert (found.top.agents, found.top.models, found.top.tools) == ([], [], [])


def test_every_hour_and_day_has_its_own_events(busy: Colony) -> None:
    events = history()
    found = summary(busy.projections, now=NOW, hours=60, days=4)
    assert_figures(found.totals, events)
    assert [hour.hour for hour in found.hourly] == [NOON - timedelta(hours=back) for back in range(59, -1, -1)]
    for hour in found.hourly:
        assert_figures(hour, between(events, hour.hour, hour.hour + timedelta(hours=1)))
    for day in found.daily:
        midnight = datetime(day.day.year, day.day.month, day.day.day, tzinfo=UTC)
        assert_figures(day, between(events, midnight, midnight + timedelta(days=1)))
    assert [day.day for day in found.daily] == [NOON.date() - timedelta(days=back) for back in (3, 2, 1, 0)]


def test_trends_compare_complete_hours_with_as_many_before(colony: Colony) -> None:
    events = history() + spent("100", seconds=60)
    trend = summary(colony.given(*events).projections, now=NOW, hours=6).trends.hourly
    assert (trend.before, trend.start, trend.end) == (NOON - timedelta(hours=12), NOON - timedelta(hours=6), NOON)
    now, before = between(events, trend.start, trend.end), between(events, trend.before, trend.start)
    assert (trend.events.now, trend.events.before) == (len(now), len(before))
    assert trend.events.absolute == len(now) - len(before)
    assert trend.events.relative == (len(now) - len(before)) / len(before)
    assert Decimal(trend.cost_usd.absolute or 0) == cost(now) - cost(before)


@pytest.mark.parametrize(
    ("before", "now", "absolute", "relative"),
    [
        (["0.1"], ["0.3"], "0.2", 2.0),
        (["0.3"], ["0.1", "0.15"], "-0.05", -1 / 6),
        ([], ["0.000000000001"], "0.000000000001", None),
        ([None], ["1"], None, None),
        (["1"], [None], None, None),
        ([], [], "0", None),
        (["100000000000.000000000001"] * 20, ["0.1"], "-1999999999999.90000000002", -1.0),
    ],
)
def test_a_change_of_cost_is_exact_or_not_known(
    colony: Colony, before: list[str | None], now: list[str | None], absolute: str | None, relative: float | None
) -> None:
    colony.given(*spent(*before, seconds=-1.5 * HOUR), *spent(*now, seconds=-0.5 * HOUR))
    change = summary(colony.projections, now=NOW, hours=1).trends.hourly.cost_usd
    assert change.absolute == absolute
    assert change.relative == pytest.approx(relative)


def test_the_dearest_come_first_and_those_of_no_known_price_last(busy: Colony) -> None:
    found = summary(busy.projections, now=NOW, top=2).top
    assert len(found.agents) == len(found.models) == len(found.tools) == 2
    assert [Decimal(one.cost_usd or 0) for one in found.agents] == sorted(
        (Decimal(one.cost_usd or 0) for one in found.agents), reverse=True
    )
    assert {one.model for one in found.models} == {"gpt-4o", "claude-sonnet-4-5"}


def test_any_moment_that_the_api_admits_can_be_asked_about(colony: Colony) -> None:
    for year in (1970, 9998):
        found = summary(colony.projections, now=datetime(year, 1, 1, tzinfo=UTC), hours=HOURS_MAX, days=DAYS_MAX)
        assert (len(found.hourly), len(found.daily)) == (HOURS_MAX, DAYS_MAX)


@pytest.mark.parametrize("figures", [summary, partial(dashboard, ratings=Ratings())])
def test_figures_that_nobody_waits_for_are_given_up(colony: Colony, figures: Callable[..., object]) -> None:
    leash = Leash()
    leash.cut()
    with pytest.raises(QueryFailed, match="nobody waits"):
        figures(colony.projections, now=NOW, leash=leash)


def test_it_agrees_with_the_read_models(busy: Colony) -> None:
    found: Summary = summary(busy.projections, now=NOW, hours=HOURS_MAX, days=DAYS_MAX)
    fleet = busy.record("fleet")
    for name in ("agents", "runs", "runs_running", "events", "cost_usd", "active_agents", "unpriced_calls"):
        assert getattr(found.totals, name) == fleet[name]
    hours = {row["hour"]: row for row in busy.records("fleet_hourly")}
    for hour in found.hourly:
        if row := hours.pop(hour.hour.strftime("%Y-%m-%dT%H:00:00.000000Z"), None):
            assert (hour.events, hour.active_agents) == (row["events"], row["active_agents"])
    assert not hours


def test_a_recorded_trace_adds_up_hour_by_hour(recorded: Recorded) -> None:
    events = recorded.events
    found = summary(recorded.colony.projections, now=max(event.time for event in events), hours=3)
    assert_figures(found.totals, events)
    for hour in found.hourly:
        assert_figures(hour, between(events, hour.hour, hour.hour + timedelta(hours=1)))
    (agent,) = found.top.agents
    assert (agent.agent_id, Decimal(agent.cost_usd or 0)) == ("tracer", cost(events))
