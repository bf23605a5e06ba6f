"""The colony in numbers: what the read models say of it, as Prometheus metrics with bounded labels.

Who has a series of their own keeps it for as long as the node runs, so that `other`, which sums up all the rest, only
grows as counters must.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from prometheus_client import Metric

from ..projections import Projections
from .families import counter, gauge

AGENTS_SHOWN_MAX = 100
MODELS_SHOWN_MAX = 50
TOOLS_SHOWN_MAX = 50
QUERY_SECONDS_MAX = 5.0

STATEMENT = (Path(__file__).parent / "sql" / "colony.sql").read_text("utf-8")

# OpenTelemetry's GenAI names, as Prometheus writes them.
AGENT = "gen_ai_agent_id"
PROVIDER = "gen_ai_provider_name"
MODEL = "gen_ai_request_model"
TOOL = "gen_ai_tool_name"
TOKEN_TYPE = "gen_ai_token_type"  # noqa: S105

FLOAT = "A float, for graphs and alerts: the exact figure is in the read models."


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens by kind; the kinds are disjoint."""

    uncached_input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    answer_tokens: int
    reasoning_tokens: int

    def by_type(self) -> Iterator[tuple[str, int]]:
        """Each kind's name as a label has it, with its tokens."""
        for field in Tokens.__struct_fields__:
            yield field.removesuffix("_tokens"), getattr(self, field)


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The colony as a whole. A cost that is not known is None."""

    events: int
    messages: int
    llm_calls: int
    llm_errors: int
    tool_calls: int
    tool_errors: int
    cost_usd: str | None
    unpriced_calls: int


class Number(msgspec.Struct, frozen=True):
    """How many there are in one state."""

    name: str
    number: int


class Calls(Tokens, frozen=True, kw_only=True):
    """Model calls of one group. `cut`: how many groups are summed up in it for want of room."""

    cut: int
    calls: int
    failed_calls: int
    cost_usd: str | None
    unpriced_calls: int


class AgentCalls(Calls, frozen=True, kw_only=True):
    """An agent's model calls; `agent_id` is empty for those that don't say."""

    agent_id: str


class ModelCalls(Calls, frozen=True, kw_only=True):
    """The calls of one model."""

    provider: str
    model: str


class ToolCalls(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one tool."""

    tool: str
    cut: int
    calls: int
    errors: int


class Colony(msgspec.Struct, frozen=True, kw_only=True):
    """What the read models said of the colony at one moment."""

    totals: Totals
    tokens: Tokens
    agents: list[Number]
    runs: list[Number]
    assignments: list[Number]
    by_agent: list[AgentCalls]
    by_model: list[ModelCalls]
    by_tool: list[ToolCalls]


class Watch:
    """Looks at the colony from time to time, and remembers who has a series of their own."""

    def __init__(
        self,
        projections: Projections,
        *,
        agents_max: int = AGENTS_SHOWN_MAX,
        models_max: int = MODELS_SHOWN_MAX,
        tools_max: int = TOOLS_SHOWN_MAX,
    ) -> None:
        self._projections = projections
        self._bounds = {"agents_max": agents_max, "models_max": models_max, "tools_max": tools_max}
        self._shown: dict[str, list[str] | list[list[str]]] = {"agents": [], "models": [], "tools": []}

    def look(self) -> Colony:
        """The colony right now. Blocks; one at a time. Raises `QueryFailed`."""
        answer = self._projections.sql(
            STATEMENT, {**self._shown, **self._bounds}, limit=1, timeout_seconds=QUERY_SECONDS_MAX
        )
        colony = msgspec.convert(answer.records()[0], Colony)
        self._shown = {
            "agents": [one.agent_id for one in colony.by_agent if not one.cut],
            "models": [[one.provider, one.model] for one in colony.by_model if not one.cut],
            "tools": [one.tool for one in colony.by_tool if not one.cut],
        }
        return colony


def families(colony: Colony) -> Iterator[Metric]:
    """The colony's metrics."""
    yield from _of_all(colony)
    yield from _of_calls("agent", [AGENT], [([one.agent_id], one) for one in colony.by_agent])
    yield from _of_calls("model", [PROVIDER, MODEL], [([one.provider, one.model], one) for one in colony.by_model])
    yield counter("tool_calls", "Tool calls.", [TOOL], (([one.tool], one.calls) for one in colony.by_tool))
    yield counter(
        "tool_errors",
        "Tool calls that failed, timed out or were denied.",
        [TOOL],
        (([one.tool], one.errors) for one in colony.by_tool),
    )
    yield gauge(
        "series_cut",
        "How many agents, models and tools have no series of their own and are summed up as `other`.",
        ["dimension"],
        [
            (["agent"], sum(one.cut for one in colony.by_agent)),
            (["model"], sum(one.cut for one in colony.by_model)),
            (["tool"], sum(one.cut for one in colony.by_tool)),
        ],
    )


def _of_all(colony: Colony) -> Iterator[Metric]:
    totals = colony.totals
    spent = _dollars(totals.cost_usd) if totals.llm_calls else 0
    yield gauge("agents", "Agents by their state.", ["state"], _numbers(colony.agents))
    yield gauge("runs", "Runs by their status.", ["status"], _numbers(colony.runs))
    yield gauge("assignments", "Assignments by their status.", ["status"], _numbers(colony.assignments))
    for name, help_, value in (
        ("colony_events", "Events in the read models.", totals.events),
        ("colony_messages", "Messages exchanged.", totals.messages),
        ("colony_llm_calls", "Model calls.", totals.llm_calls),
        ("colony_llm_errors", "Model calls that failed.", totals.llm_errors),
        ("colony_tool_calls", "Tool calls.", totals.tool_calls),
        ("colony_tool_errors", "Tool calls that failed, timed out or were denied.", totals.tool_errors),
        ("colony_cost_usd", f"What the calls of known price cost. {FLOAT}", spent),
        ("colony_unpriced_calls", "Model calls of no known price: the cost leaves them out.", totals.unpriced_calls),
    ):
        yield counter(name, help_, [], [([], value)])
    yield counter(
        "colony_tokens",
        "Tokens by kind; the kinds are disjoint.",
        [TOKEN_TYPE],
        (([kind], tokens) for kind, tokens in colony.tokens.by_type()),
    )


def _of_calls(what: str, labels: list[str], rows: list[tuple[list[str], Calls]]) -> Iterator[Metric]:
    by = f"by {what}"
    yield counter(f"{what}_llm_calls", f"Model calls {by}.", labels, ((row, one.calls) for row, one in rows))
    yield counter(
        f"{what}_llm_errors", f"Model calls that failed, {by}.", labels, ((row, one.failed_calls) for row, one in rows)
    )
    yield counter(
        f"{what}_tokens",
        f"Tokens {by} and kind; the kinds are disjoint.",
        [*labels, TOKEN_TYPE],
        (([*row, kind], tokens) for row, one in rows for kind, tokens in one.by_type()),
    )
    yield counter(
        f"{what}_cost_usd",
        f"What the calls of known price cost, {by}. {FLOAT}",
        labels,
        ((row, _dollars(one.cost_usd)) for row, one in rows),
    )
    yield counter(
        f"{what}_unpriced_calls",
        f"Model calls of no known price, {by}: the cost leaves them out.",
        labels,
        ((row, one.unpriced_calls) for row, one in rows),
    )


def _numbers(found: list[Number]) -> list[tuple[list[str], float]]:
    return [([one.name], one.number) for one in found]


def _dollars(cost_usd: str | None) -> float | None:
    return None if cost_usd is None else float(cost_usd)
