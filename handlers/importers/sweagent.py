"""SWE-agent's trajectories: each `.traj` file becomes a run, what was said in it, the commands it ran and what it cost.

A file holds one attempt at one issue (github.com/SWE-agent/SWE-agent, of all versions so far). `history` is the
conversation, `trajectory` the commands with what came of them; where a file has no trajectory, they are taken from the
history. A command is recorded as a call of the tool that is its first word. Tokens and dollars are known as sums only,
so the ledger has one model call per run, and none where the model is a replay and took nothing. Files don't say
whether the issue was solved, nor when they were written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any, BinaryIO, Literal

import msgspec
from msgspec import Meta

from ...schemas import (
    EventData,
    LlmCallCompleted,
    MessageRecorded,
    RunCompleted,
    RunFailed,
    RunStarted,
    ToolCallCompleted,
    usd,
)
from ...schemas.vocabulary import Count, Seconds
from .clockless import ClocklessRun
from .elements import whole
from .found import Finding, Rejected

SOURCE = "/importers/sweagent"
PUBLISHED = "2024-05-06T00:00:00Z"  # arXiv:2405.15793
AGENT = "swe-agent"
UNKNOWN = "unknown"
FILE_BYTES_MAX = 64 * 2**20  # later versions repeat the conversation at every step
NAME_CHARS_MAX = 200
PRICED_BY = "SWE-agent"
NO_MODELS = {"replay", "human", "human_thought", "instant_empty_submit"}

_ISSUE = re.compile(r"ISSUE:\n(.*?)\n+INSTRUCTIONS:|<pr_description>\s*(.*?)\s*</pr_description>", re.DOTALL)


class Turn(msgspec.Struct):
    """One turn of the conversation. Demonstrations are turns of another run, shown to the model."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[Any] | None = None
    action: str | None = None
    is_demo: bool = False
    tool_call_ids: list[str] | None = None

    @property
    def text(self) -> str | None:
        """What was said; content that comes in parts stays JSON."""
        return msgspec.json.encode(self.content).decode() if isinstance(self.content, list) else self.content


class Step(msgspec.Struct):
    """One command, and what came of it."""

    action: str
    observation: str | None = None
    execution_time: Seconds | None = None


class Stats(msgspec.Struct):
    """What the whole run took of its model; 0 where nobody counted."""

    instance_cost: Annotated[float, Meta(ge=0, lt=1e12)] = 0
    tokens_sent: Count = 0
    tokens_received: Count = 0
    api_calls: Count = 0


class Info(msgspec.Struct):
    """How it ended. `exit_status` begins with `submitted` where there is a patch."""

    exit_status: str | None = None
    submission: str | None = None
    model_stats: Stats = msgspec.field(default_factory=Stats)


class Trajectory(msgspec.Struct):
    """One file."""

    history: list[Turn]
    trajectory: list[Step] = []
    info: Info = msgspec.field(default_factory=Info)
    environment: str | None = None
    replay_config: Any = None


_trajectory = msgspec.json.Decoder(Trajectory)


def read(
    file: BinaryIO,
    name: str,
    *,
    time: datetime,
    agent: str | None = None,
    provider: str | None = None,
    model: str | None = None,
) -> Iterator[Finding]:
    """The events of the one run in the file."""
    recorded = whole(file, _trajectory, FILE_BYTES_MAX)
    if isinstance(recorded, Rejected):
        yield recorded
        return
    agent, name = agent or AGENT, name[:NAME_CHARS_MAX]
    run = ClocklessRun(f"sweagent-{name}-{_digest(recorded)}", source=SOURCE, begin=time)
    yield run.tell(RunStarted(clock="none", agent_id=agent, task_id=name, task=_task(recorded), skill=AGENT))
    yield from _steps(recorded, agent, run)
    if spent := _spent(recorded, run.run_id, agent, provider or UNKNOWN, model or _model(recorded) or UNKNOWN):
        yield run.tell(spent, subject=f"{run.run_id}-model", at="info.model_stats")
    if end := _end(recorded.info, agent):
        yield run.tell(end, at="info")


def _steps(recorded: Trajectory, agent: str, run: ClocklessRun) -> Iterator[Finding]:
    """The conversation, each command behind the turn that asked for it; what the history leaves out comes last."""
    commands = iter(recorded.trajectory or _commands(recorded.history))
    for number, turn in enumerate(recorded.history):
        yield run.tell(_said(turn, number, agent, run.run_id), subject=f"{run.run_id}-{number}", at=f"turn {number}")
        if _acts(turn) and (command := next(commands, None)):
            yield from _called(command, number, agent, run)
    for number, command in enumerate(commands, len(recorded.history)):
        yield from _called(command, number, agent, run)


def _acts(turn: Turn) -> bool:
    return turn.role == "assistant" and not turn.is_demo


def _commands(history: list[Turn]) -> Iterator[Step]:
    """The commands in the conversation: the turn behind each says what came of it."""
    answers = [*history[1:], None]
    for turn, answer in zip(history, answers, strict=True):
        if _acts(turn):
            answered = answer is not None and answer.role in ("user", "tool")
            yield Step(turn.action or "", answer.text if answer and answered else None)


def _said(turn: Turn, number: int, agent: str, run_id: str) -> EventData:
    return MessageRecorded(
        run_id=run_id,
        step=number,
        role=turn.role,
        agent_id=agent if _acts(turn) else None,
        content=turn.text,
        tool_call_id=next(iter(turn.tool_call_ids or ()), None),
    )


def _called(command: Step, number: int, agent: str, run: ClocklessRun) -> Iterator[Finding]:
    """The command as a tool call. Whether it succeeded nobody recorded; an answer without a command is none."""
    tool, *_ = command.action.split(maxsplit=1) or ("",)
    if not tool:
        return
    call = ToolCallCompleted(
        tool=tool[:NAME_CHARS_MAX],
        run_id=run.run_id,
        agent_id=agent,
        step=number,
        duration_seconds=command.execution_time,
        arguments={"command": command.action},
        output=command.observation,
    )
    yield run.tell(call, subject=f"{run.run_id}-{number}", at=f"turn {number}")


def _spent(recorded: Trajectory, run_id: str, agent: str, provider: str, model: str) -> EventData | None:
    stats = recorded.info.model_stats
    if not (stats.tokens_sent or stats.tokens_received or stats.instance_cost):
        return None
    return LlmCallCompleted(
        provider=provider,
        request_model=model,
        run_id=run_id,
        agent_id=agent,
        input_tokens=stats.tokens_sent or None,
        output_tokens=stats.tokens_received or None,
        cost_usd=usd(Decimal(str(stats.instance_cost))) if stats.instance_cost else None,
        price_version=PRICED_BY if stats.instance_cost else None,
    )


def _end(info: Info, agent: str) -> EventData | None:
    """How the run ended, if it did: to submit a patch is to complete it, solved or not."""
    if info.exit_status is None:
        return None
    if info.exit_status.startswith("submitted"):
        return RunCompleted(agent_id=agent, skill=AGENT, output=info.submission)
    return RunFailed(agent_id=agent, skill=AGENT, error=info.exit_status)


def _task(recorded: Trajectory) -> str | None:
    """The issue as the model was told it."""
    told = next((turn.text for turn in recorded.history if turn.role == "user" and not turn.is_demo), None)
    issue = _ISSUE.search(told or "")
    return (issue[1] or issue[2]) if issue else told


def _model(recorded: Trajectory) -> str | None:
    """The model that the run's settings name; later versions keep them, as an object or as JSON in a string."""
    settings = recorded.replay_config
    try:
        settings = msgspec.json.decode(settings) if isinstance(settings, str) else settings
        model = msgspec.convert(settings, _Settings).agent.model.name
    except (msgspec.MsgspecError, RecursionError):
        return None
    return None if model in NO_MODELS else model


class _Model(msgspec.Struct):
    name: str


class _Agent(msgspec.Struct):
    model: _Model


class _Settings(msgspec.Struct):
    agent: _Agent


def _digest(recorded: Trajectory) -> str:
    """What tells runs at the same issue apart."""
    return sha256(msgspec.json.encode([recorded.history, recorded.trajectory])).hexdigest()[:8]
