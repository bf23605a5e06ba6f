"""Trajectories of τ-bench: each becomes a run with its messages, its answered tool calls and its reward.

A file holds one JSON array of trajectories (github.com/sierra-research/tau-bench, `historical_trajectories`). They say
neither who acted nor in which domain nor when: agent and skill come from the file's name (`gpt-4o-airline.json` is
agent `gpt-4o` at `tau-bench.airline`) unless they are given, and the time is the benchmark's publication unless it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO, Literal

import msgspec

from ...schemas import EventData, MessageRecorded, RunCompleted, RunFailed, RunStarted, ToolCallCompleted
from ...schemas.vocabulary import Name
from .clockless import ClocklessRun
from .elements import elements
from .found import Finding, Rejected

SOURCE = "/importers/tau-bench"
DOMAINS = ("airline", "retail", "telecom")
PUBLISHED = "2024-06-17T00:00:00Z"  # arXiv:2406.12045


class Function(msgspec.Struct):
    """What a tool call calls; `arguments` is JSON in a string."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct):
    """A tool call, as chat APIs have it."""

    id: str
    function: Function


class Message(msgspec.Struct):
    """One turn, as chat APIs have it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[Any] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class Task(msgspec.Struct):
    """What the simulated user wants."""

    instruction: str | None = None


class Info(msgspec.Struct):
    """The task, or the error that broke the trajectory off."""

    task: Task | None = None
    error: str | None = None


class Trajectory(msgspec.Struct):
    """One trial of an agent at a task."""

    task_id: int | Name
    trial: int
    reward: float
    info: Info
    traj: list[Message]


_trajectory = msgspec.json.Decoder(Trajectory)


def read(
    file: BinaryIO, name: str, *, time: datetime, agent: str | None = None, skill: str | None = None
) -> Iterator[Finding]:
    """The events of every trajectory, one run after the other."""
    agent, skill = agent or _agent_in(name), skill or _skill_in(name)
    seen: set[str] = set()
    for element in elements(file, _trajectory):
        if isinstance(element, Rejected):
            yield element
            continue
        trajectory = element.value
        run_id = f"{skill.replace('.', '-')}-{agent}-{trajectory.task_id}-{trajectory.trial}"
        if run_id in seen:
            yield Rejected(element.where, f"{run_id} came earlier in the file")
            continue
        seen.add(run_id)
        run = ClocklessRun(run_id, source=SOURCE, begin=time, where=element.where)
        yield from _events(trajectory, agent, skill, run)


def _events(trajectory: Trajectory, agent: str, skill: str, run: ClocklessRun) -> Iterator[Finding]:
    info, reward = trajectory.info, trajectory.reward
    task_id = str(trajectory.task_id)
    yield run.tell(
        RunStarted(
            clock="none",
            agent_id=agent,
            task_id=task_id,
            task=info.task.instruction if info.task else None,
            skill=skill,
            metadata={"trial": trajectory.trial},
        )
    )
    yield from _steps(trajectory.traj, agent, run)
    of_run: dict[str, Any] = {"agent_id": agent, "skill": skill, "task_id": task_id, "reward": reward}
    if info.error is not None:
        yield run.tell(RunFailed(error=info.error, **of_run))
    else:
        yield run.tell(RunCompleted(success=reward == 1, **of_run))


def _steps(messages: list[Message], agent: str, run: ClocklessRun) -> Iterator[Finding]:
    pending: dict[str, Function] = {}
    for step, message in enumerate(messages):
        at, subject = f"step {step}", f"{run.run_id}-{step}"
        yield run.tell(_recorded(message, step, agent, run.run_id), subject=subject, at=at)
        pending |= {call.id: call.function for call in message.tool_calls or ()}
        if message.role == "tool" and (function := pending.pop(message.tool_call_id or "", None)):
            yield run.tell(_answered(function, message, step, agent, run.run_id), subject=subject, at=at)


def _recorded(message: Message, step: int, agent: str, run_id: str) -> EventData:
    return MessageRecorded(
        run_id=run_id,
        step=step,
        role=message.role,
        agent_id=agent if message.role == "assistant" else None,
        content=_text(message),
        tool_call_id=message.tool_call_id,
    )


def _answered(function: Function, answer: Message, step: int, agent: str, run_id: str) -> EventData:
    """The call that `answer` answers. τ-bench's tools say what went wrong in words that begin with `Error`."""
    output = _text(answer)
    failed = output is not None and output.startswith("Error")
    return ToolCallCompleted(
        tool=function.name,
        run_id=run_id,
        agent_id=agent,
        step=step,
        outcome="error" if failed else "ok",
        arguments=_arguments(function.arguments),
        output=output,
        error=output if failed else None,
    )


def _text(message: Message) -> str | None:
    """The message's text; content that comes in parts stays JSON."""
    content = message.content
    return msgspec.json.encode(content).decode() if isinstance(content, list) else content


def _arguments(text: str) -> Any:
    """The arguments as the tool saw them; what isn't JSON stays text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text


def _agent_in(name: str) -> str:
    agent, _, domain = name.rpartition("-")
    return agent if agent and domain in DOMAINS else name


def _skill_in(name: str) -> str:
    domain = name.rpartition("-")[2]
    return f"tau-bench.{domain}" if domain in DOMAINS else "tau-bench"
