"""Random histories of two origins that say much of the same few things, for what has to hold of any graph."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from rookery.schemas import (
    AgentRegistered,
    AgentStateChanged,
    AssignmentStarted,
    EventData,
    FeedbackGiven,
    InsightRecorded,
    MessageRecorded,
    RunFailed,
    RunFailureAttributed,
    RunStarted,
    ToolCallCompleted,
)

from ..colony import fact

entities = st.sampled_from(["x", "y", "z", "a b:c/ü%"])
maybe = st.none() | entities
# Five of six words are the same in any two of these, and some differ in nothing but their look.
texts = st.sampled_from(["the tool was not in reach", "The tool: was NOT in  sight!", "the tool was not in sight"]) | (
    st.integers(1, 8).map(lambda number: f"one two three four five six seven {number}")
)
FACTS: dict[type[EventData], dict[str, st.SearchStrategy[Any]]] = {
    AgentRegistered: {"name": entities, "capabilities": st.lists(entities, max_size=2)},
    AgentStateChanged: {"state": st.sampled_from(["alive", "suspect"])},
    AssignmentStarted: {"agent_id": entities, "run_id": maybe},
    FeedbackGiven: {"kind": st.just("human"), "score": st.just(0.5), "run_id": maybe, "agent_id": maybe},
    InsightRecorded: {"kind": entities, "text": texts, "run_id": maybe, "agent_id": maybe, "skill": maybe},
    MessageRecorded: {"run_id": entities, "step": st.integers(0, 3), "role": st.just("user"), "agent_id": maybe},
    RunFailed: {"agent_id": maybe, "error": texts},
    RunFailureAttributed: {"agent_id": entities, "step": st.integers(0, 9), "reason": texts},
    RunStarted: {"agent_id": maybe, "task_id": maybe, "parent_run_id": maybe},
    ToolCallCompleted: {"tool": entities, "run_id": maybe, "agent_id": maybe},
}
facts = st.one_of([st.builds(struct, **fields) for struct, fields in FACTS.items()])
events = st.builds(fact, facts, entities, st.sampled_from([0.0, 60.0]))
histories = st.fixed_dictionaries({"east": st.lists(events, max_size=25), "west": st.lists(events, max_size=25)})
