"""The charts: as many values as labels, bounded, and the same figures as the read models."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from rookery.ops.dashboard import BARS_MAX, SKILLS_MAX, SLICES_MAX, Chart, dashboard
from rookery.ops.proficiency import Proficiency, listing
from rookery.schemas import LlmCallCompleted, RunCompleted
from rookery.tests.projections.colony import NOON, Colony, fact

from .history import cost, count, history, tokens

NOW = NOON + timedelta(minutes=20)
HOURS = 50


def charts(colony: Colony, *, hours: int = HOURS, agents: int = 5) -> dict[str, Chart]:
    ratings = Proficiency(colony.projections).level()
    found = dashboard(colony.projections, ratings, now=NOW, hours=hours, agents=agents)
    return {chart.name: chart for chart in found.charts}


def test_there_is_a_chart_of_each_kind_even_of_an_empty_colony(colony: Colony) -> None:
    found = charts(colony, hours=3)
    assert {chart.kind for chart in found.values()} == {"radar", "bar", "line", "pie"}
    assert found["events"].labels == ["2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z", "2026-11-20T12:00:00Z"]
    assert found["cost"].series[0].exact == ["0", "0", "0"]
    assert found["cost_by_model"].labels == []


@pytest.mark.parametrize("name", ["colony", "busy"])
def test_every_series_has_one_value_for_each_label(request: pytest.FixtureRequest, name: str) -> None:
    for chart in charts(request.getfixturevalue(name)).values():
        for series in chart.series:
            assert len(series.data) == len(chart.labels), chart.name
            assert series.exact is None or len(series.exact) == len(chart.labels), chart.name
            assert (series.exact is not None) == (chart.unit == "USD")


def test_lines_add_up_to_what_happened(busy: Colony) -> None:
    events = history()
    found = charts(busy)
    assert sum(found["events"].series[0].data) == len(events)
    assert [sum(series.data) for series in found["tokens"].series] == [
        tokens(events, "input_tokens"),
        tokens(events, "output_tokens"),
    ]
    assert sum(Decimal(amount or 0) for amount in found["cost"].series[0].exact or []) == cost(events)


def test_pies_add_up_to_what_happened(busy: Colony) -> None:
    events = history()
    found = charts(busy)
    assert sum(found["calls_by_provider"].series[0].data) == count(events, "llm_call.completed", "llm_call.failed")
    runs = found["runs_by_status"]
    assert dict(zip(runs.labels, runs.series[0].data, strict=True)) == {"completed": 1, "failed": 1, "running": 1}


def test_a_bar_of_no_known_price_has_no_height(busy: Colony) -> None:
    bars = charts(busy)["cost_by_model"]
    (series,) = bars.series
    heights = dict(zip(bars.labels, series.data, strict=True))
    assert heights["local/llama"] is None
    assert [None if amount is None else float(amount) for amount in series.exact or []] == series.data


def test_the_radar_has_the_ratings_of_the_most_active(colony: Colony) -> None:
    work = [("a", "fix"), ("a", "fix"), ("a", "review"), ("b", "fix"), ("b", "fix"), ("c", "fix")]
    colony.given(
        *(
            fact(RunCompleted(agent_id=agent_id, skill=skill, success=True), f"run-{number}")
            for number, (agent_id, skill) in enumerate(work)
        )
    )
    radar = charts(colony, agents=2)["proficiency"]
    rated = listing(colony.projections, Proficiency(colony.projections).level(), now=NOW).ratings
    ratings = {(one.agent_id, one.skill): round(one.rating, 4) for one in rated}
    assert radar.labels == ["fix", "review"]
    assert [series.name for series in radar.series] == ["a", "b"]
    assert radar.series[0].data == [ratings["a", "fix"], ratings["a", "review"]]
    assert radar.series[1].data == [ratings["b", "fix"], None]


def test_what_there_is_no_room_for_is_summed_up_and_counted(colony: Colony) -> None:
    many = BARS_MAX + 5
    colony.given(
        *(
            fact(
                LlmCallCompleted(provider=f"p-{number:02}", request_model="m", agent_id=f"a-{number}", cost_usd="0.1"),
                f"call-{number}",
            )
            for number in range(many)
        ),
        *(
            fact(RunCompleted(agent_id="a", skill=f"s-{number}", success=True), f"run-{number}")
            for number in range(many)
        ),
    )
    found = charts(colony)
    for name in ("cost_by_model", "cost_by_agent"):
        bars = found[name]
        assert (len(bars.labels), bars.labels[-1], bars.cut) == (BARS_MAX + 1, "other", 5)
        assert (bars.series[0].exact or [])[-1] == "0.5"
    pie = found["calls_by_provider"]
    assert (len(pie.labels), pie.series[0].data[-1], pie.cut) == (SLICES_MAX + 1, many - SLICES_MAX, many - SLICES_MAX)
    assert len(found["proficiency"].labels) == SKILLS_MAX
