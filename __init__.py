"""Rookery: the event-sourced system of record and control plane for colonies of AI agents."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import testing
    from .handlers.agent import Agent, Colony, GiveUp, NoResult, Task, TaskFailed, ThreadTask, connect
    from .schemas import RookeryError

__all__ = [
    "Agent",
    "Colony",
    "GiveUp",
    "NoResult",
    "RookeryError",
    "Task",
    "TaskFailed",
    "ThreadTask",
    "__version__",
    "connect",
    "testing",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """What the front page shows, imported when it is asked for first: `import rookery` by itself costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "testing":
        return import_module(".testing", __name__)
    home = ".schemas" if name == "RookeryError" else ".handlers.agent"
    return globals().setdefault(name, getattr(import_module(home, __name__), name))


def __dir__() -> list[str]:
    return __all__
