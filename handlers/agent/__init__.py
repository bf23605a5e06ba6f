"""The agent kit: what an agent's author imports to join a colony, and what a program does to give agents work."""

from .agent import Agent
from .calls import LlmCall, ToolCall
from .colony import Colony, connect
from .errors import (
    AgentError,
    GiveUp,
    HandlersStuck,
    InvalidAgent,
    NameTaken,
    NoResult,
    ResultRefused,
    TaskFailed,
    TaskOver,
    UnknownCapability,
)
from .serving import Serving
from .task import Task
from .threads import ThreadTask

__all__ = [
    "Agent",
    "AgentError",
    "Colony",
    "GiveUp",
    "HandlersStuck",
    "InvalidAgent",
    "LlmCall",
    "NameTaken",
    "NoResult",
    "ResultRefused",
    "Serving",
    "Task",
    "TaskFailed",
    "TaskOver",
    "ThreadTask",
    "ToolCall",
    "UnknownCapability",
    "connect",
]
