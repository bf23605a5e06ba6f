"""Health: each subsystem of a node by name, with its state and since when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

State = Literal["starting", "ready", "degraded", "failed", "stopped"]


class Subsystem(msgspec.Struct, frozen=True):
    """How one part of the node is, since when, and what is wrong with it."""

    state: State
    since: datetime
    detail: str = ""


class Health:
    """The states of all subsystems. A node is ready when each of them is."""

    def __init__(self) -> None:
        self.subsystems: dict[str, Subsystem] = {}

    def set(self, name: str, state: State, detail: str = "") -> None:
        """Note a subsystem's state; `since` moves only when the state changes."""
        before = self.subsystems.get(name)
        since = before.since if before and before.state == state else datetime.now(UTC)
        self.subsystems[name] = Subsystem(state, since, detail)

    @property
    def is_ready(self) -> bool:
        """Whether every subsystem is ready."""
        return bool(self.subsystems) and all(one.state == "ready" for one in self.subsystems.values())
