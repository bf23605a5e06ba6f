"""What spans call things: OpenTelemetry's GenAI conventions, new and old, OpenInference's and OpenLLMetry's, as data.

Of several names for one fact the first that a span has counts.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from .spans import Attributes

Kind = Literal["model", "tool", "agent", "workflow", "create_agent"]


class Reading(NamedTuple):
    """What a span tells of: a kind of fact, and for model calls the operation."""

    kind: Kind
    operation: str = ""


OPERATIONS: dict[str, Reading] = {
    "chat": Reading("model", "chat"),
    "text_completion": Reading("model", "text_completion"),
    "generate_content": Reading("model", "generate_content"),
    "embeddings": Reading("model", "embeddings"),
    "execute_tool": Reading("tool"),
    "invoke_agent": Reading("agent"),
    "invoke_workflow": Reading("workflow"),
    "create_agent": Reading("create_agent"),
}
OPENINFERENCE_KINDS: dict[str, Reading] = {
    "LLM": Reading("model", "chat"),
    "EMBEDDING": Reading("model", "embeddings"),
    "TOOL": Reading("tool"),
    "AGENT": Reading("agent"),
}
OPENLLMETRY_KINDS: dict[str, Reading] = {
    "tool": Reading("tool"),
    "agent": Reading("agent"),
    "workflow": Reading("workflow"),
}
OPENLLMETRY_REQUESTS: dict[str, Reading] = {
    "chat": Reading("model", "chat"),
    "completion": Reading("model", "text_completion"),
    "embedding": Reading("model", "embeddings"),
}

PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
REQUEST_MODEL = ("gen_ai.request.model", "llm.request.model_name", "llm.model_name", "embedding.model_name")
RESPONSE_MODEL = ("gen_ai.response.model", "llm.response.model_name")
INPUT_TOKENS = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
    "llm.usage.prompt_tokens",
)
OUTPUT_TOKENS = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
    "llm.usage.completion_tokens",
)
CACHE_READ_TOKENS = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.input_tokens.cached",
    "llm.token_count.prompt_details.cache_read",
)
CACHE_CREATION_TOKENS = (
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
)
REASONING_TOKENS = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
)
COST = ("gen_ai.usage.cost", "operation.cost", "llm.cost.total")
TIME_TO_FIRST_TOKEN = ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")
FINISH_REASONS = ("gen_ai.response.finish_reasons", "llm.finish_reason")
AGENT = ("gen_ai.agent.id", "gen_ai.agent.name", "agent.name")
AGENT_NAME = ("gen_ai.agent.name", "agent.name", "gen_ai.agent.id")
AGENT_DESCRIPTION = ("gen_ai.agent.description",)
CONVERSATION = ("gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id")
ERROR_TYPE = ("error.type",)
SERVICE = ("service.name",)
TOOL = ("gen_ai.tool.name", "tool.name", "traceloop.entity.name")
TOOL_ARGUMENTS = ("gen_ai.tool.call.arguments", "tool.parameters", "input.value", "traceloop.entity.input")
TOOL_OUTPUT = ("gen_ai.tool.call.result", "output.value", "traceloop.entity.output")
TASK = ("input.value", "traceloop.entity.input")
RESULT = ("output.value", "traceloop.entity.output")


def reading_of(attributes: Attributes) -> Reading | None:
    """What a span with these attributes tells of; None where it is nothing that Rookery records."""
    operation = _named(attributes, "gen_ai.operation.name")
    if operation:
        return OPERATIONS.get(operation)
    if kind := _named(attributes, "openinference.span.kind"):
        return OPENINFERENCE_KINDS.get(kind.upper())
    if kind := _named(attributes, "traceloop.span.kind"):
        return OPENLLMETRY_KINDS.get(kind)
    if any(name in attributes for name in PROVIDER) and any(name in attributes for name in REQUEST_MODEL):
        return OPENLLMETRY_REQUESTS.get(_named(attributes, "llm.request.type"), OPERATIONS["chat"])
    return None


def _named(attributes: Attributes, name: str) -> str:
    value = attributes.get(name)
    return value if isinstance(value, str) else ""
