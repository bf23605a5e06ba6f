"""Azure's traces of model calls: one CSV row, with its time and its tokens, becomes one `llm_call.completed`.

The trace doesn't say which model answered, so the caller names the one to reckon with. A row's id follows from its
line number, its text and that model: two equal rows stay two calls, the same file again is the same calls, and another
model makes other calls. Times are cut to microseconds; they are UTC unless they say otherwise.

The published files end without a line break, so a file that was cut short within its last number can't be told from a
whole one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO, NamedTuple

from ...schemas import Event, LlmCallCompleted, derived_id, usd
from ..pricing import PRICE_VERSION, cost_usd
from .found import Finding, Rejected, found
from .lines import Line, lines

SOURCE = "/importers/azure-llm"
COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


class Row(NamedTuple):
    """One model call of the trace."""

    time: datetime
    input_tokens: int
    output_tokens: int


def read(file: BinaryIO, name: str, *, provider: str, model: str, agent: str | None = None) -> Iterator[Finding]:
    """The calls of a trace, each priced as of its time."""
    rows = lines(file)
    positions = _positions(next(rows, None))
    if positions is None:
        yield Rejected("line 1", f"expected the header {','.join(COLUMNS)}, in UTF-8")
        return
    for line in rows:
        yield line if isinstance(line, Rejected) else _call(line, positions, provider, model, agent)


def notes(*, provider: str, model: str, agent: str | None = None) -> list[str]:
    """That the calls will carry no cost, where no price is known."""
    if cost_usd(provider, model, time=datetime.now(UTC), input_tokens=1, output_tokens=1) is not None:
        return []
    return [f"{PRICE_VERSION} knows no price of {provider}/{model}: the calls carry no cost"]


def _call(line: Line, positions: list[int], provider: str, model: str, agent: str | None) -> Finding:
    try:
        row = _row(line.text.decode(), positions)
    except ValueError as error:
        return Rejected(line.where, str(error))
    cost = cost_usd(provider, model, time=row.time, input_tokens=row.input_tokens, output_tokens=row.output_tokens)
    call = LlmCallCompleted(
        provider=provider,
        request_model=model,
        agent_id=agent,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost_usd=None if cost is None else usd(cost),
        price_version=None if cost is None else PRICE_VERSION,
    )
    call_id = derived_id(SOURCE, provider, model, agent or "", str(line.number), line.text.decode())
    return found(Event.of(call, subject=call_id, source=SOURCE, id=call_id, time=row.time), line.where)


def _positions(header: Line | Rejected | None) -> list[int] | None:
    """Where in a row our columns are; others may stand between them."""
    if not isinstance(header, Line):
        return None
    names = header.text.decode(errors="replace").split(",")
    return [names.index(column) for column in COLUMNS] if set(COLUMNS) <= set(names) else None


def _row(text: str, positions: list[int]) -> Row:
    fields = text.split(",")
    if len(fields) <= max(positions):
        raise ValueError(f"expected {max(positions) + 1} fields, found {len(fields)}")
    time, input_tokens, output_tokens = (fields[position] for position in positions)
    return Row(_time(time), _tokens(input_tokens), _tokens(output_tokens))


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"expected a time as in `2023-11-16 18:15:46.6805900`, found {text[:40]!r}") from None


def _tokens(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(f"expected a number of tokens, found {text[:40]!r}")
    return int(text)
