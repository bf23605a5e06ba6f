"""Calls that an agent makes: of tools and of models. Each is timed, and recorded when it is over, however it ends."""

from __future__ import annotations

import asyncio
import time
import traceback
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from ...schemas import (
    EventData,
    InvalidData,
    LlmCallCompleted,
    LlmCallFailed,
    RookeryError,
    ToolCallCompleted,
    new_id,
    usd,
)
from .telling import Run, shortened, written
from .tracing import child_of

_LIBRARIES = (str(Path(traceback.__file__).parent), str(Path(__file__).parent), "<frozen ")

Outcome = Literal["ok", "error", "timed_out", "denied"]


class Call:
    """One call, from `async with` to its end. `traceparent` is its own span: pass it on to whom you call."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.id = new_id()
        self.traceparent = child_of(run.traceparent)
        self._began = time.monotonic()

    async def __aenter__(self) -> Self:
        self._began = time.monotonic()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        duration_seconds = time.monotonic() - self._began
        data = await self._told(error, duration_seconds)
        await self._run.tell(data, subject=self.id, traceparent=self.traceparent)

    async def _told(self, error: BaseException | None, duration_seconds: float) -> EventData:
        raise AssertionError("each kind of call tells of itself")


class ToolCall(Call):
    """A call of a tool. Set `output` to what it answered; `outcome` where it is neither `ok` nor an exception."""

    def __init__(self, run: Run, tool: str, arguments: Any) -> None:
        super().__init__(run)
        self.tool = tool
        self.arguments = arguments
        self.output: Any = None
        self.outcome: Outcome | None = None
        self.error: str | None = None

    async def __aenter__(self) -> Self:
        written(self._run.profile, ToolCallCompleted(tool=self.tool, arguments=self.arguments), subject=self.id)
        return await super().__aenter__()

    async def _told(self, error: BaseException | None, duration_seconds: float) -> EventData:
        return ToolCallCompleted(
            tool=self.tool,
            run_id=self._run.id,
            agent_id=self._run.profile.agent_id,
            outcome=self.outcome or _outcome_of(error),
            duration_seconds=duration_seconds,
            arguments=self.arguments,
            output=_text_of(self.output),
            error=self.error or (said_of(error) if error else None),
        )


class LlmCall(Call):
    """A call of a model. Say with `usage()` what the provider counted; what isn't said stays unknown.

    The cost is reckoned from the tokens with the prices of the day, unless `cost_usd` is set.
    """

    def __init__(self, run: Run, provider: str, model: str, operation: str) -> None:
        super().__init__(run)
        self.provider = provider
        self.model = model
        self.operation = operation
        self.response_model: str | None = None
        self.finish_reason: str | None = None
        self.cost_usd: Decimal | str | None = None
        self._tokens: dict[str, int] = {}
        self._first_token: float | None = None
        self._at = datetime.now(UTC)

    def usage(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        cache_read_input_tokens: int | None = None,
        cache_creation_input_tokens: int | None = None,
        reasoning_output_tokens: int | None = None,
    ) -> None:
        """What the provider counted: `input_tokens` with what was cached, `output_tokens` with the reasoning."""
        counted = {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "cache_read_input_tokens": cache_read_input_tokens,
            "cache_creation_input_tokens": cache_creation_input_tokens,
            "reasoning_output_tokens": reasoning_output_tokens,
        }
        self._tokens = {name: count for name, count in counted.items() if count is not None}

    def first_token(self) -> None:
        """The answer has begun to arrive."""
        if self._first_token is None:
            self._first_token = time.monotonic()

    async def _told(self, error: BaseException | None, duration_seconds: float) -> EventData:
        cost, price_version = await self._cost()
        known: dict[str, Any] = {
            "provider": self.provider,
            "request_model": self.model,
            "operation": self.operation,
            "run_id": self._run.id,
            "agent_id": self._run.profile.agent_id,
            "usage_source": "provider" if self._tokens else "unknown",
            "cost_usd": cost,
            "price_version": price_version,
            "duration_seconds": duration_seconds,
        }
        if error is not None:
            counted = ("input_tokens", "output_tokens")
            known |= {name: self._tokens[name] for name in counted if name in self._tokens}
            return LlmCallFailed(error=said_of(error), **known)
        return LlmCallCompleted(
            response_model=self.response_model,
            finish_reason=self.finish_reason,
            time_to_first_token_seconds=self._first_token and max(0.0, self._first_token - self._began),
            **(known | self._tokens),
        )

    async def _cost(self) -> tuple[str | None, str | None]:
        """The cost, and by which prices it was reckoned; both None where that is unknown."""
        if self.cost_usd is not None:
            try:
                return usd(Decimal(self.cost_usd)), None
            except (ValueError, InvalidOperation) as error:
                raise InvalidData(str(error) or "not an amount of dollars", "data.cost_usd") from None
        return await asyncio.to_thread(self._priced) if self._tokens else (None, None)

    def _priced(self) -> tuple[str | None, str | None]:
        from ..pricing import PRICE_VERSION, cost_usd  # 150 ms to import, and many agents never call a model

        tokens = {name: count for name, count in self._tokens.items() if name != "reasoning_output_tokens"}
        cost = cost_usd(self.provider, self.response_model or self.model, time=self._at, **tokens)
        return (usd(cost), PRICE_VERSION) if cost is not None else (None, None)


def said_of(error: BaseException) -> str:
    """An exception in a line: its type, what it says, and where in the handler's file it came from."""
    try:
        text = str(error)
    except Exception:  # an exception's __str__ is the author's code, too
        text = "(its text can't be read)"
    name = type(error).__name__
    return shortened(f"{name}: {text}" if text else name) + _place_of(error)


def _place_of(error: BaseException) -> str:
    """Where in the author's code it came from; our own errors say in words what is to be done."""
    if isinstance(error, RookeryError):
        return ""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_library(frame.filename)]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def _is_library(filename: str) -> bool:
    return filename.startswith(_LIBRARIES) or "site-packages" in filename


def _outcome_of(error: BaseException | None) -> Outcome:
    if error is None:
        return "ok"
    return "timed_out" if isinstance(error, TimeoutError) else "error"


def _text_of(output: Any) -> str | None:
    """The output as text: JSON, where it is no text yet."""
    if output is None or isinstance(output, str):
        return output and shortened(output)
    try:
        return shortened(msgspec.json.encode(output).decode())
    except (TypeError, ValueError, OverflowError, RecursionError):
        return shortened(repr(output))
