"""The colony's metrics: the same sums as the events have, and never more series than the bounds allow."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from rookery.ops.colony import Colony as Figures
from rookery.ops.colony import Tokens, ToolCalls, Totals, Watch, families
from rookery.schemas import Event, LlmCallCompleted
from rookery.tests.projections.colony import Colony, fact

from .conftest import Recorded
from .history import AGENTS, MODELS, calls_in, cost, count, history, tokens, unpriced

Samples = dict[tuple[str, ...], float]


def samples(figures: Figures, name: str) -> Samples:
    """The series of one metric, by their labels' values."""
    return {
        tuple(one.labels.values()): one.value
        for family in families(figures)
        for one in family.samples
        if one.name == name
    }


def look(colony: Colony) -> Figures:
    return Watch(colony.projections).look()


def test_an_empty_colony_has_spent_nothing(colony: Colony) -> None:
    figures = look(colony)
    assert samples(figures, "rookery_colony_events_total") == {(): 0}
    assert samples(figures, "rookery_colony_cost_usd_total") == {(): 0}
    assert samples(figures, "rookery_agents") == {}


def test_totals_are_those_of_the_events(busy: Colony) -> None:
    events = history()
    figures = look(busy)
    assert figures.totals.events == len(events)
    assert figures.totals.llm_calls == count(events, "llm_call.completed", "llm_call.failed")
    assert figures.totals.llm_errors == count(events, "llm_call.failed")
    assert figures.totals.tool_calls == count(events, "tool_call.completed")
    assert figures.totals.tool_errors == count(
        events, "tool_call.completed", where=lambda event: event.payload().outcome == "error"
    )
    assert Decimal(figures.totals.cost_usd or 0) == cost(events)
    assert figures.totals.unpriced_calls == unpriced(events)
    by_kind = dict(figures.tokens.by_type())
    cached, reasoned = tokens(events, "cache_read_input_tokens"), tokens(events, "reasoning_output_tokens")
    assert (by_kind["cache_read"], by_kind["reasoning"]) == (cached, reasoned)
    assert by_kind["uncached_input"] == tokens(events, "input_tokens") - cached
    assert by_kind["answer"] == tokens(events, "output_tokens") - reasoned


def test_states_are_counted(busy: Colony) -> None:
    figures = look(busy)
    assert samples(figures, "rookery_agents") == {("alive",): len(AGENTS)}
    assert samples(figures, "rookery_runs") == {("completed",): 1, ("failed",): 1, ("running",): 1}
    assert samples(figures, "rookery_assignments") == {("pending",): 1, ("running",): 1}


@pytest.mark.parametrize("agent_id", [*AGENTS, None])
def test_an_agents_series_are_its_own_calls(busy: Colony, agent_id: str | None) -> None:
    events = history()
    figures = look(busy)
    (row,) = [one for one in figures.by_agent if one.agent_id == (agent_id or "")]
    own = [event for event in events if event.type.startswith("llm_call.") and event.payload().agent_id == agent_id]
    assert (row.calls, row.failed_calls) == (len(own), count(own, "llm_call.failed"))
    assert Decimal(row.cost_usd or 0) == cost(own)
    assert row.unpriced_calls == unpriced(own)


def test_a_model_of_no_known_price_has_no_cost_rather_than_none(busy: Colony) -> None:
    figures = look(busy)
    priced = {labels for labels in MODELS if labels[0] != "local"}
    assert set(samples(figures, "rookery_model_cost_usd_total")) == priced
    assert set(samples(figures, "rookery_model_unpriced_calls_total")) == set(MODELS)


def call(agent_id: str, number: int, *, model: str = "m", cost_usd: str = "0.5") -> Event:
    data = LlmCallCompleted(provider="p", request_model=model, agent_id=agent_id, input_tokens=1, cost_usd=cost_usd)
    return fact(data, f"call-{agent_id}-{number}", number)


def test_beyond_the_bound_agents_are_summed_up_and_counted(colony: Colony) -> None:
    colony.given(*(call(f"a-{agent}", number) for agent in range(9) for number in range(agent + 1)))
    figures = Watch(colony.projections, agents_max=4).look()
    assert samples(figures, "rookery_agent_llm_calls_total") == {
        ("a-8",): 9,
        ("a-7",): 8,
        ("a-6",): 7,
        ("a-5",): 6,
        ("other",): 15,
    }
    assert samples(figures, "rookery_series_cut")[("agent",)] == 5
    assert sum(samples(figures, "rookery_agent_cost_usd_total").values()) == 45 * 0.5


def test_who_has_a_series_keeps_it_so_that_other_never_shrinks(colony: Colony) -> None:
    watch = Watch(colony.given(call("early", 1), call("later", 1), call("later", 2)).projections, agents_max=1)
    assert set(samples(watch.look(), "rookery_agent_llm_calls_total")) == {("later",), ("other",)}
    colony.given(*(call("early", number) for number in range(2, 20)))
    assert samples(watch.look(), "rookery_agent_llm_calls_total") == {("later",): 2, ("other",): 19}


def test_an_agent_that_is_called_other_is_one_series_with_the_others(colony: Colony) -> None:
    colony.given(call("other", 1), call("other", 2), call("other", 3), call("b", 1), call("b", 2), call("c", 1))
    watch = Watch(colony.projections, agents_max=2)
    for _ in range(2):
        assert samples(watch.look(), "rookery_agent_llm_calls_total") == {("other",): 4, ("b",): 2}


class Collected(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> list[Metric]:
        return list(families(self._figures))


NOTHING = Figures(
    totals=Totals(
        events=0, messages=0, llm_calls=0, llm_errors=0, tool_calls=0, tool_errors=0, cost_usd=None, unpriced_calls=0
    ),
    tokens=Tokens(
        uncached_input_tokens=0, cache_read_tokens=0, cache_write_tokens=0, answer_tokens=0, reasoning_tokens=0
    ),
    agents=[],
    runs=[],
    assignments=[],
    by_agent=[],
    by_model=[],
    by_tool=[],
)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_a_name_arrives_as_it_is_whatever_it_holds(name: str) -> None:
    figures = structs.replace(NOTHING, by_tool=[ToolCalls(tool=name, cut=0, calls=1, errors=0)])
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected(figures))
    text = generate_latest(registry).decode()
    found = {family.name: family for family in text_string_to_metric_families(text)}
    (sample,) = found["rookery_tool_calls"].samples
    assert sample.labels == {"gen_ai_tool_name": name}


def test_a_recorded_trace_adds_up(recorded: Recorded) -> None:
    events, figures = recorded.events, look(recorded.colony)
    assert len(calls_in(events)) == figures.totals.llm_calls
    assert Decimal(figures.totals.cost_usd or 0) == cost(events)
    assert figures.tokens.uncached_input_tokens == tokens(events, "input_tokens")
    assert figures.tokens.answer_tokens == tokens(events, "output_tokens")
    assert samples(figures, "rookery_model_llm_calls_total") == {("openai", "gpt-4o"): len(events)}
