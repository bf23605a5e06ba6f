"""What single spans tell: a model call with its price, a tool call, an agent that was made."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...schemas import AgentRegistered, LlmCallCompleted, LlmCallFailed, ToolCallCompleted, usd
from ...schemas.vocabulary import Outcome
from ..pricing import PRICE_VERSION, cost_usd
from . import conventions as named
from .actors import agent_name, agent_of
from .spans import Attributes, Span
from .values import as_name, as_text, cost_in, first, json_in, name_in, seconds_in, text_in, time_at, tokens_in

UNKNOWN = "unknown"
FAILED = "failed, and nobody recorded why"
PROVIDER_CHARS_MAX = 128
TIMED_OUT = ("timeout", "timed out", "deadline")


class Usage(NamedTuple):
    """The tokens of a model call, as far as they were counted."""

    input: int | None
    output: int | None
    cache_read: int | None
    cache_creation: int | None

    @classmethod
    def of(cls, attributes: Attributes) -> Usage:
        """What the attributes say."""
        return cls(
            tokens_in(attributes, named.INPUT_TOKENS),
            tokens_in(attributes, named.OUTPUT_TOKENS),
            tokens_in(attributes, named.CACHE_READ_TOKENS),
            tokens_in(attributes, named.CACHE_CREATION_TOKENS),
        )

    @property
    def is_counted(self) -> bool:
        """Whether anybody counted."""
        return self.input is not None or self.output is not None


def model_call(span: Span, operation: str, run_id: str | None) -> LlmCallCompleted | LlmCallFailed:
    """The model's answer, or its failure, and what it cost: as the span says, or else as the price table does."""
    attributes = span.attributes
    answered_by = name_in(attributes, named.RESPONSE_MODEL)
    provider = (name_in(attributes, named.PROVIDER) or UNKNOWN)[:PROVIDER_CHARS_MAX]
    asked = name_in(attributes, named.REQUEST_MODEL) or answered_by or UNKNOWN
    usage = Usage.of(attributes)
    given = cost_in(attributes, named.COST)
    reckoned = _reckoned(span, provider, answered_by or asked, asked, usage) if given is None else None
    common: dict[str, Any] = {
        "provider": provider,
        "request_model": asked,
        "operation": operation,
        "run_id": run_id,
        "agent_id": agent_of(span),
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "usage_source": "provider" if usage.is_counted else "unknown",
        "cost_usd": given or reckoned,
        "price_version": PRICE_VERSION if reckoned else None,
        "duration_seconds": span.duration_seconds,
    }
    error = error_of(span)
    if error is not None:
        return LlmCallFailed(error=error, **common)
    return LlmCallCompleted(
        response_model=answered_by,
        cache_read_input_tokens=usage.cache_read,
        cache_creation_input_tokens=usage.cache_creation,
        reasoning_output_tokens=tokens_in(attributes, named.REASONING_TOKENS),
        time_to_first_token_seconds=seconds_in(attributes, named.TIME_TO_FIRST_TOKEN),
        finish_reason=_finish_reason(first(attributes, named.FINISH_REASONS)),
        **common,
    )


def tool_call(span: Span, run_id: str | None) -> ToolCallCompleted:
    """What a tool was called with, and how it did."""
    error = error_of(span)
    return ToolCallCompleted(
        tool=name_in(span.attributes, named.TOOL) or as_name(span.name.removeprefix("execute_tool ")) or UNKNOWN,
        run_id=run_id,
        agent_id=agent_of(span),
        outcome=_outcome(span, error),
        duration_seconds=span.duration_seconds,
        arguments=json_in(span.attributes, named.TOOL_ARGUMENTS),
        output=text_in(span.attributes, named.TOOL_OUTPUT),
        error=error,
    )


def registration(span: Span) -> AgentRegistered | None:
    """An agent that was made; None where it came to nothing or has no name."""
    name = agent_name(span)
    if name is None or error_of(span) is not None:
        return None
    labels = {
        "description": text_in(span.attributes, named.AGENT_DESCRIPTION),
        "provider": name_in(span.attributes, named.PROVIDER),
        "model": name_in(span.attributes, named.REQUEST_MODEL),
    }
    return AgentRegistered(name=name, metadata={label: value for label, value in labels.items() if value} or None)


def error_of(span: Span) -> str | None:
    """Why what the span tells of failed, in the best words that it has; None where it did not fail."""
    kind = text_in(span.attributes, named.ERROR_TYPE)
    if span.error is None and kind is None:
        return None
    exceptions = (event.attributes for event in span.events if event.name == "exception")
    message = next((text for one in exceptions if (text := as_text(one.get("exception.message")))), None)
    return as_text(span.error) or message or kind or FAILED


def _outcome(span: Span, error: str | None) -> Outcome:
    if error is None:
        return "ok"
    said = f"{text_in(span.attributes, named.ERROR_TYPE) or ''} {error}".lower()
    return "timed_out" if any(word in said for word in TIMED_OUT) else "error"


def _reckoned(span: Span, provider: str, answered_by: str, asked: str, usage: Usage) -> str | None:
    """What the price table says: of the model that answered, or where it knows none such, of the one that was asked."""
    if usage.input is None:  # a prompt that nobody counted was not free
        return None
    for model in dict.fromkeys((answered_by, asked)):
        cost = cost_usd(
            provider,
            model,
            time=time_at(span.end_ns or span.start_ns),
            input_tokens=usage.input or 0,
            output_tokens=usage.output or 0,
            cache_read_input_tokens=usage.cache_read,
            cache_creation_input_tokens=usage.cache_creation,
        )
        if cost is not None:
            return usd(cost)
    return None


def _finish_reason(value: Any) -> str | None:
    return as_text(next((one for one in value if one), None) if isinstance(value, list) else value)
