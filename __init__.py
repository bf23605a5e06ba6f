"""Rookery: the event-sourced system of record and control plane for colonies of AI agents."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .handlers.agent import (
        Agent,
        Colony,
        GiveUp,
        NoResult,
        Task,
        TaskFailed,
        ThreadTask,
        connect,
    )
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
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for first, so that `import rookery` costs nothing by itself."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(".schemas" if name == "RookeryError" else ".handlers.agent", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
