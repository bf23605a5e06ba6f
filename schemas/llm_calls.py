"""Model calls and what they cost, in OpenTelemetry's GenAI names."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import AgentId, Name, RunId, Seconds, Tokens, UsageSource, Usd

Provider = Annotated[str, Meta(min_length=1, max_length=128, description="As in `openai`.")]
Operation = Annotated[str, Meta(min_length=1, max_length=64, description="`chat`, `text_completion`, `embeddings`, …")]


@event_type("llm_call.completed")
class LlmCallCompleted(EventData, frozen=True, kw_only=True):
    """A model answered.

    `input_tokens` counts all of the prompt, cached or not, and `output_tokens` all of the answer, reasoning
    included, as the OpenTelemetry conventions have it; the ledger splits them into disjoint buckets. `cost_usd` is
    absent where the price is unknown: unknown is not zero.
    """

    provider: Provider
    request_model: Name
    response_model: Name | None = None
    operation: Operation = "chat"
    run_id: RunId | None = None
    agent_id: AgentId | None = None
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cache_read_input_tokens: Tokens | None = None
    cache_creation_input_tokens: Tokens | None = None
    reasoning_output_tokens: Tokens | None = None
    usage_source: UsageSource = "provider"
    cost_usd: Usd | None = None
    price_version: str | None = None
    duration_seconds: Seconds | None = None
    time_to_first_token_seconds: Seconds | None = None
    finish_reason: str | None = None


@event_type("llm_call.failed")
class LlmCallFailed(EventData, frozen=True, kw_only=True):
    """A model did not answer. What the provider charges all the same is in `cost_usd`."""

    provider: Provider
    request_model: Name
    operation: Operation = "chat"
    run_id: RunId | None = None
    agent_id: AgentId | None = None
    error: str
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    usage_source: UsageSource = "unknown"
    cost_usd: Usd | None = None
    price_version: str | None = None
    duration_seconds: Seconds | None = None
