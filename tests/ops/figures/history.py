"""A made-up history of a small colony, with what it must come to, summed up without any read model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from random import Random
from typing import Any

from rookery.schemas import (
    AgentRegistered,
    AssignmentCreated,
    AssignmentStarted,
    Event,
    LlmCallCompleted,
    LlmCallFailed,
    MessageRecorded,
    RunCompleted,
    RunFailed,
    RunStarted,
    ToolCallCompleted,
)
from rookery.tests.projections.colony import fact

HOUR = 3_600
AGENTS = ["coder-1", "coder-2", "reviewer"]
MODELS = [("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-5"), ("local", "llama")]
Where = Callable[[Event], bool]


def history(seed: int = 7, *, calls: int = 60, hours: int = 48) -> list[Event]:
    """Events from `hours` before noon on; the model `llama` has no price."""
    random = Random(seed)
    events = [fact(AgentRegistered(name=name), name, -hours * HOUR) for name in AGENTS]
    for number in range(calls):
        seconds = -random.randrange(hours * HOUR)
        agent_id = random.choice([*AGENTS, None])
        provider, model = random.choice(MODELS)
        cost_usd = None if provider == "local" else f"0.{random.randrange(1, 10**12):012d}"
        shared: dict[str, Any] = {
            "provider": provider,
            "request_model": model,
            "agent_id": agent_id,
            "cost_usd": cost_usd,
        }
        call = (
            LlmCallFailed(error="overloaded", **shared)
            if random.random() < 0.2
            else LlmCallCompleted(
                input_tokens=random.randrange(100, 9_000),
                output_tokens=random.randrange(50, 900),
                cache_read_input_tokens=random.randrange(100),
                reasoning_output_tokens=random.randrange(50),
                **shared,
            )
        )
        events.append(fact(call, f"call-{number}", seconds))
        outcome = random.choice(["ok", "ok", "error"])
        tool = ToolCallCompleted(tool=random.choice(["grep", "pytest"]), agent_id=agent_id, outcome=outcome)
        events.append(fact(tool, f"tool-{number}", seconds))
        events.append(fact(MessageRecorded(run_id="run-1", step=number, role="user"), f"message-{number}", seconds))
    return [
        *events,
        fact(RunStarted(agent_id="coder-1", skill="code.fix"), "run-1", -HOUR),
        fact(RunCompleted(agent_id="coder-1", skill="code.fix", success=True), "run-1", -60),
        fact(RunStarted(agent_id="coder-2", skill="code.review"), "run-2", -HOUR),
        fact(RunFailed(agent_id="coder-2", skill="code.review", error="gave up"), "run-2", -30),
        fact(RunStarted(agent_id="coder-2"), "run-3", -HOUR),
        fact(AssignmentCreated(kind="fix", agent_id="coder-1"), "as-1", -HOUR),
        fact(AssignmentStarted(agent_id="coder-1"), "as-2", -HOUR),
    ]


def count(events: Iterable[Event], *types: str, where: Where = lambda event: True) -> int:
    """How many events are of these types."""
    return sum(event.type in types and where(event) for event in events)


def tokens(events: Iterable[Event], name: str, *, where: Where = lambda event: True) -> int:
    """The sum of a field of the model calls."""
    return sum(getattr(call, name, None) or 0 for call in calls_in(events, where))


def cost(events: Iterable[Event], *, where: Where = lambda event: True) -> Decimal:
    """What the model calls of known price cost."""
    return sum((Decimal(call.cost_usd or 0) for call in calls_in(events, where)), Decimal(0))


def unpriced(events: Iterable[Event], *, where: Where = lambda event: True) -> int:
    """How many model calls have no price."""
    return sum(call.cost_usd is None for call in calls_in(events, where))


def calls_in(events: Iterable[Event], where: Where = lambda event: True) -> list[Any]:
    """What the model calls say, the failed ones' too."""
    return [event.payload() for event in events if event.type.startswith("llm_call.") and where(event)]
