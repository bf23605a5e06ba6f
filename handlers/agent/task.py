"""The task that a handler is given: what to do, and everything that can be said while doing it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from ...schemas import (
    AssignmentCreated,
    EventData,
    InsightRecorded,
    MemoryRecorded,
    MessageRecorded,
    RunProgressed,
    new_id,
)
from .assigning import RESULT_TIMEOUT_SECONDS, assign, created, result_of
from .calls import Call, LlmCall, ToolCall
from .errors import TaskOver
from .telling import Run

Role = Literal["system", "user", "assistant", "tool"]
AnyCall = TypeVar("AnyCall", bound=Call)


class Task:
    """One attempt at one assignment. `id` is the assignment's; `attempt` counts from 1.

    Whatever is recorded here is durable when the `await` returns. What can't be an event (a fraction beyond 1, text
    that is no text) raises `InvalidEvent` with the field, and nothing is recorded.
    """

    def __init__(
        self, run: Run, *, id: str, attempt: int, created: AssignmentCreated, deadline: datetime | None
    ) -> None:
        self.id = id
        self.kind: str = created.kind
        self.input: Any = created.input
        self.attempt = attempt
        self.deadline = deadline
        self.over = False
        self._run = run
        self._steps = itertools.count()

    @property
    def run_id(self) -> str:
        """This attempt's run."""
        return self._run.id

    @property
    def agent_id(self) -> str:
        """Who is at work."""
        return self._run.profile.agent_id

    @property
    def traceparent(self) -> str:
        """This run's span, in W3C's form: pass it on to whom you call."""
        return self._run.traceparent

    async def progress(self, text: str, fraction: float | None = None, *, about: str | None = None) -> None:
        """Say where the work stands; `fraction` goes from 0 to 1.

        Here and below, `about` names the person of whom the text says something: it is sealed with that person's key.
        """
        await self._tell(RunProgressed(text=text, progress=fraction, agent_id=self.agent_id), self.run_id, about)

    async def message(self, role: Role, content: str, *, about: str | None = None) -> None:
        """Record the next turn of the run's conversation."""
        step = next(self._steps)
        message = MessageRecorded(run_id=self.run_id, step=step, role=role, agent_id=self.agent_id, content=content)
        await self._tell(message, f"{self.run_id}-{step}", about)

    async def remember(
        self, text: str, key: str | None = None, tags: Sequence[str] = (), *, about: str | None = None
    ) -> None:
        """Record what this agent wants to know again later, under `key` where it has one."""
        memory = MemoryRecorded(text=text, key=key, run_id=self.run_id, agent_id=self.agent_id, tags=list(tags))
        await self._tell(memory, new_id(), about)

    async def insight(
        self,
        text: str,
        kind: str = "insight",
        confidence: float | None = None,
        tags: Sequence[str] = (),
        *,
        about: str | None = None,
    ) -> None:
        """Record something worth knowing for everybody; `confidence` goes from 0 to 1."""
        insight = InsightRecorded(
            kind=kind,
            text=text,
            run_id=self.run_id,
            agent_id=self.agent_id,
            skill=self.kind,
            confidence=confidence,
            tags=list(tags),
        )
        await self._tell(insight, new_id(), about)

    def tool(self, name: str, arguments: Any = None) -> ToolCall:
        """A call of a tool, for `async with`: timed, and recorded with its outcome when the block ends."""
        return self._begun(ToolCall(self._run, name, arguments))

    def llm_call(self, provider: str, model: str, *, operation: str = "chat") -> LlmCall:
        """A call of a model, for `async with`: timed, priced, and recorded when the block ends."""
        return self._begun(LlmCall(self._run, provider, model, operation))

    async def ask(self, capability: str, input: Any = None, *, timeout_seconds: float = RESULT_TIMEOUT_SECONDS) -> Any:
        """Give a task to whoever has the capability, and return what comes of it.

        Raises `TaskFailed`, or `NoResult` when nobody has done it in time.
        """
        self._refuse_if_over()
        question = AssignmentCreated(
            kind=capability,
            skill=capability,
            input=input,
            timeout_seconds=timeout_seconds,
            metadata={"parent_run_id": self.run_id},
        )
        assignment_id, run = new_id(), self._run
        event = created(
            question,
            assignment_id,
            source=run.profile.source,
            correlationid=run.id,
            causationid=run.cause,
            traceparent=run.traceparent,
        )
        after = await assign(run.bus, event)
        return await result_of(run.bus, assignment_id, after=after, timeout_seconds=timeout_seconds)

    async def _tell(self, data: EventData, subject: str, about: str | None) -> None:
        self._refuse_if_over()
        await self._run.tell(data, subject=subject, about=about)

    def _begun(self, call: AnyCall) -> AnyCall:
        self._refuse_if_over()
        return call

    def _refuse_if_over(self) -> None:
        if self.over:
            raise TaskOver(self.id)
