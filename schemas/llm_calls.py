"""Model calls and what they cost, in OpenTelemetry's GenAI names."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import AgentId, Error, Model, RunId, Seconds, Tokens, UsageSource, Usd

Provider = Annotated[str, Meta(min_length=1, max_length=128, description="As in `openai`.")]
ResponseModel = Annotated[Model, Meta(description="The model that answered, as its provider calls it.")]
Operation = Annotated[str, Meta(min_length=1, max_length=64, description="`chat`, `text_completion`, `embeddings`, …")]
PriceVersion = Annotated[str, Meta(description="The list of prices that `cost_usd` is by.")]
FinishReason = Annotated[str, Meta(description="Why the model stopped, as in `stop`.")]


@event_type("llm_call.completed")
class LlmCallCompleted(EventData, frozen=True, kw_only=True):
    """A model answered.

    `input_tokens` counts all of the prompt, cached or not, and `output_tokens` all of the answer, reasoning
    included, as the OpenTelemetry conventions have it; the ledger splits them into disjoint buckets. `cost_usd` is
    absent where the price is unknown: unknown is not zero.
    """

    provider: Provider
    request_model: Model
    response_model: ResponseModel | None = None
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
    price_version: PriceVersion | None = None
    duration_seconds: Seconds | None = None
    time_to_first_token_seconds: Seconds | None = None
    finish_reason: FinishReason | None = None


@event_type("llm_call.failed")
class LlmCallFailed(EventData, frozen=True, kw_only=True):
    """A model did not answer. What the provider charges all the same is in `cost_usd`."""

    provider: Provider
    request_model: Model
    operation: Operation = "chat"
    run_id: RunId | None = None
    agent_id: AgentId | None = None
    error: Error
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    usage_source: UsageSource = "unknown"
    cost_usd: Usd | None = None
    price_version: PriceVersion | None = None
    duration_seconds: Seconds | None = None
