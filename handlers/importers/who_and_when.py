"""Who&When's failed multi-agent runs: each file becomes a run, its messages, and whose mistake it was, when and why.

A file holds one run (github.com/ag2ai/Agents_Failure_Attribution, both kinds: `Algorithm-Generated` names the agent in
`name`, `Hand-Crafted` in `role`). The attribution is imported as given, also where the agent it names isn't the one
that acted at the step it names. Files without a clock begin at the data's publication unless a time is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import Any, BinaryIO, Literal, get_args

import msgspec

from ...schemas import InsightRecorded, MessageRecorded, RunFailed, RunFailureAttributed, RunStarted
from ...schemas.vocabulary import Name
from .clockless import ClocklessRun
from .elements import whole
from .found import Finding, Rejected

SOURCE = "/importers/who-and-when"
PUBLISHED = "2025-04-30T00:00:00Z"  # arXiv:2505.00212
ERROR = "the answer was wrong"
ATTRIBUTED_BY = "Who&When's annotators"

ChatRole = Literal["system", "user", "assistant", "tool"]

ROLES: dict[str, ChatRole] = {role: role for role in get_args(ChatRole)}


class Entry(msgspec.Struct):
    """One turn. Where `role` is no chat role, it names the agent, with what it was up to in brackets."""

    role: str
    content: str
    name: str | None = None

    @property
    def chat_role(self) -> ChatRole:
        """Whose turn it was, as in chat APIs."""
        return ROLES.get(self.role, "user" if self.role == "human" else "assistant")

    @property
    def agent(self) -> str | None:
        """The agent whose turn it was, if it was an agent's."""
        return self.name or (None if self.role in {*ROLES, "human"} else self.role.partition(" (")[0])


class FailedRun(msgspec.Struct):
    """One file."""

    question: str
    question_id: Name = msgspec.field(name="question_ID")
    history: list[Entry]
    mistake_agent: str
    mistake_step: int
    mistake_reason: str
    level: Any = None
    ground_truth: Any = None


_failed_run = msgspec.json.Decoder(FailedRun, strict=False)  # the files write `"mistake_step": "4"`


def read(file: BinaryIO, name: str, *, time: datetime) -> Iterator[Finding]:
    """The events of the one run in the file."""
    recorded = whole(file, _failed_run)
    if isinstance(recorded, Rejected):
        yield recorded
    else:
        yield from _events(recorded, ClocklessRun(_run_id(recorded), source=SOURCE, begin=time))


def _run_id(recorded: FailedRun) -> str:
    """The question, and a digest of the conversation: several crews have failed at the same question."""
    turns = msgspec.json.encode([[entry.role, entry.name, entry.content] for entry in recorded.history])
    return f"who-and-when-{recorded.question_id}-{sha256(turns).hexdigest()[:8]}"


def _events(recorded: FailedRun, run: ClocklessRun) -> Iterator[Finding]:
    yield run.tell(
        RunStarted(
            clock="none",
            task_id=recorded.question_id,
            task=recorded.question,
            metadata={"level": recorded.level, "ground_truth": recorded.ground_truth},
        )
    )
    for step, entry in enumerate(recorded.history):
        message = MessageRecorded(
            run_id=run.run_id, step=step, role=entry.chat_role, agent_id=entry.agent, content=entry.content
        )
        yield run.tell(message, subject=f"{run.run_id}-{step}", at=f"step {step}")
    yield run.tell(RunFailed(error=ERROR))
    yield run.tell(
        RunFailureAttributed(
            agent_id=recorded.mistake_agent,
            step=recorded.mistake_step,
            reason=recorded.mistake_reason,
            attributed_by=ATTRIBUTED_BY,
        ),
        at="mistake",
    )
    insight = InsightRecorded(
        kind="failure_attribution",
        text=recorded.mistake_reason,
        run_id=run.run_id,
        agent_id=recorded.mistake_agent,
    )
    yield run.tell(insight, subject=f"{run.run_id}-failure-attribution", at="mistake")
