"""The field types that events share: one name means one thing, with one unit and one SQL type, everywhere."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta

INT64_MAX = 2**63 - 1

Name = Annotated[str, Meta(min_length=1, max_length=256)]
AgentId = Annotated[str, Meta(min_length=1, max_length=256, description="The agent's id.")]
AssignmentId = Annotated[str, Meta(min_length=1, max_length=256, description="The assignment's id.")]
RunId = Annotated[str, Meta(min_length=1, max_length=256, description="The run's id.")]
Skill = Annotated[str, Meta(min_length=1, max_length=256, description="A skill, as in `code.review`.")]
Count = Annotated[int, Meta(ge=0, le=INT64_MAX)]
Tokens = Annotated[int, Meta(ge=0, le=INT64_MAX, description="A number of tokens.")]
Bytes = Annotated[int, Meta(ge=0, le=INT64_MAX, description="A size in bytes.")]

# Sums over a log must not depend on the order of its events, and those of binary floating point do. So whatever is
# summed becomes an exact decimal in SQL: money with 12 places, durations in microseconds, rewards with 9 places.
Usd = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$",  # a trillion events of the largest amount still add up
        description="US dollars as a decimal string, exact to 12 places, never a float.",
        extra={"sql": "DECIMAL(38,12)"},
    ),
]
Seconds = Annotated[float, Meta(ge=0, le=1e11, description="A duration in seconds.", extra={"sql": "DECIMAL(18,6)"})]
Reward = Annotated[float, Meta(ge=-1e8, le=1e8, description="A run's reward.", extra={"sql": "DECIMAL(18,9)"})]
Score = Annotated[float, Meta(ge=0, le=1, description="From 0, worst, to 1, best.", extra={"sql": "DECIMAL(18,9)"})]

UsageSource = Annotated[
    Literal["provider", "estimated", "unknown"],
    Meta(description="Who counted the tokens: the provider's response, an estimate, or nobody."),
]
Outcome = Annotated[Literal["ok", "error", "timed_out", "denied"], Meta(description="How a call ended.")]
Labels = Annotated[dict[str, Any], Meta(description="Free-form facts, kept as JSON.")]

_USD_PLACES = Decimal(1).scaleb(-12)


def usd(amount: Decimal) -> str:
    """An amount of dollars as events carry it: plain digits, at most 12 places, no trailing zeros."""
    exact = amount if amount == amount.quantize(_USD_PLACES) else amount.quantize(_USD_PLACES, ROUND_HALF_EVEN)
    return f"{exact.normalize():f}"
