"""The field types that events share: one name means one thing, with one unit and one SQL type, everywhere."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta

INT64_MAX = 2**63 - 1

# Marks what may say something of a person: where an event names a `datasubject`, it is sealed with that person's key.
# Ids, names of skills and tags are what things are found by, and stay in plain: no person's name belongs there.
PERSONAL = Meta(extra_json_schema={"x-personal": True}, extra={"personal": True})

# Whatever names something: an id, a tool, a model. No control characters: it appears in subjects and on terminals.
# Patterns end in `\Z`: Python's `$` would let a line break follow.
Name = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
AgentId = Annotated[Name, Meta(description="The agent's id.")]
AssignmentId = Annotated[Name, Meta(description="The assignment's id.")]
RunId = Annotated[Name, Meta(description="The run's id.")]
Skill = Annotated[Name, Meta(description="A skill, as in `code.review`.")]
Model = Annotated[Name, Meta(description="A model, as its provider calls it.")]
# Somebody's, longer than other names: it may be sealed, and is then longer than what it says.
PersonalName = Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+\Z"), PERSONAL]
Reason = Annotated[str, Meta(description="Why, in words."), PERSONAL]
Error = Annotated[str, Meta(description="What went wrong, in words."), PERSONAL]
Tags = Annotated[list[str], Meta(description="Words to find it by.")]
Count = Annotated[int, Meta(ge=0, le=INT64_MAX)]
Step = Annotated[Count, Meta(description="Its place in the run, counted from 0.")]
Tokens = Annotated[int, Meta(ge=0, le=INT64_MAX, description="A number of tokens.")]
Bytes = Annotated[int, Meta(ge=0, le=INT64_MAX, description="A size in bytes.")]

# Sums over a log must not depend on the order of its events, and those of binary floating point do. So whatever is
# summed becomes an exact decimal in SQL: money with 12 places, durations in microseconds, rewards with 9 places.
Usd = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?\Z",  # a trillion events of the largest amount still add up
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
Labels = Annotated[dict[str, Any], Meta(description="Free-form facts, kept as JSON."), PERSONAL]

# The largest amount of dollars that an event can carry, and the smallest difference of two.
USD_MAX = Decimal("999999999999.999999999999")
_USD_PLACES = Decimal(1).scaleb(-12)


def usd(amount: Decimal) -> str:
    """An amount of dollars as events carry it: plain digits, at most 12 places, no trailing zeros.

    Raises `ValueError` for what an event can't carry: negative amounts, and more than `USD_MAX`.
    """
    if not 0 <= amount <= USD_MAX:
        raise ValueError(f"{amount} is not an amount of dollars that an event can carry")
    rounded = abs(amount.quantize(_USD_PLACES, ROUND_HALF_EVEN))  # without the sign that even zero can have
    return f"{rounded.normalize():f}"
