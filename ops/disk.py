"""The disk: a node stops taking events before it is full, and goes on by itself when there is room again."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..schemas import RookeryError
from .health import Health

FREE_BYTES_MIN = 32 * 1024 * 1024


class DiskFull(RookeryError):
    """So little room is left for a folder that nothing more is taken."""

    def __init__(self, folder: Path, free_bytes: int) -> None:
        self.folder = folder
        self.free_bytes = free_bytes
        super().__init__(
            f"only {free_bytes / 2**20:.0f} MiB are free for {folder}: free some space. Nothing is lost, and events "
            f"are taken again as soon as {FREE_BYTES_MIN / 2**20:.0f} MiB are free"
        )


class Disk:
    """The room that is left for a data folder, and for what in it may lie on a disk of its own."""

    def __init__(self, data: Path, health: Health) -> None:
        self._folders = [data, data / "log", data / "nats"]
        self._health = health

    def ensure_room(self) -> None:
        """Raises `DiskFull`; health shows it too."""
        try:
            for folder in self._folders:
                if folder.exists() and (free_bytes := shutil.disk_usage(folder).free) < FREE_BYTES_MIN:
                    raise DiskFull(folder, free_bytes)
        except DiskFull as full:
            self._health.set("disk", "failed", str(full))
            raise
        self._health.set("disk", "ready")

    def free_bytes(self) -> dict[str, int]:
        """How much is free for the data folder and what in it may lie elsewhere: `data`, `log`, `nats`."""
        named = zip(("data", "log", "nats"), self._folders, strict=True)
        return {name: shutil.disk_usage(folder).free for name, folder in named if folder.exists()}

    def has_room(self) -> bool:
        """Whether there is room; health shows it too."""
        try:
            self.ensure_room()
        except DiskFull:
            return False
        return True
