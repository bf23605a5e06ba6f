"""The log's every touch of the disk: one small object, so that a test can refuse or interrupt the n-th of them."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path


class Disk:
    """The operating system's files, as little of them as the log needs. All of it may raise `OSError`."""

    def open_to_write(self, path: Path) -> int:
        """A descriptor of `path`, made if it is missing, its bytes left as they are."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def open_private(self, path: Path) -> int:
        """A descriptor of `path`, made if it is missing, so that nobody but its owner may open it."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def open_to_read(self, path: Path) -> int:
        """A descriptor of `path`. Raises `FileNotFoundError`."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def write_at(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""
        view = memoryview(data)
        while view:
            written = os.pwrite(descriptor, view, offset)
            view, offset = view[written:], offset + written

    def fsync(self, descriptor: int) -> None:
        """Return when what was written is on stable storage, with what is needed to read it back."""
        os.fdatasync(descriptor)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        """Cut the file to `size_bytes`."""
        os.ftruncate(descriptor, size_bytes)

    def close(self, descriptor: int) -> None:
        """Give the descriptor, and a lock that it holds, back."""
        os.close(descriptor)

    def lock(self, descriptor: int) -> bool:
        """Whether this process now is the file's only holder of the lock; it ends with the descriptor."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def make_folder(self, path: Path) -> None:
        """Make the folder and its parents, durably, if they are missing."""
        if not path.is_dir():
            self.make_folder(path.parent)
            path.mkdir(exist_ok=True)
            self.fsync_folder(path.parent)

    def fsync_folder(self, path: Path) -> None:
        """Return when the names in the folder are on stable storage."""
        descriptor = self.open_to_read(path)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, path: Path, target: Path) -> None:
        """Put `path` in the place of `target`, at once."""
        path.replace(target)

    def unlink(self, path: Path) -> None:
        """Remove the file, if it is there."""
        path.unlink(missing_ok=True)

    def names(self, folder: Path) -> list[str]:
        """The names in the folder, sorted; none if it is missing."""
        return sorted(os.listdir(folder)) if folder.is_dir() else []

    def is_folder(self, path: Path) -> bool:
        """Whether there is such a folder."""
        return path.is_dir()

    def exists(self, path: Path) -> bool:
        """Whether there is such a file."""
        return path.exists()

    def size_bytes(self, path: Path) -> int:
        """How long the file is."""
        return path.stat().st_size

    def free_bytes(self, folder: Path) -> int:
        """How much more may be written where the folder is."""
        return shutil.disk_usage(folder).free

    def read(self, path: Path, offset: int = 0, size_bytes: int = -1) -> bytes:
        """The file's bytes from `offset`, at most `size_bytes` of them. Raises `FileNotFoundError`."""
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            return file.read() if size_bytes < 0 else _read_fully(file.fileno(), offset, size_bytes)

    def replace(self, path: Path, data: bytes) -> None:
        """Make `path` hold `data`, durably: its readers see the old bytes or the new, never a part."""
        unfinished = path.with_name(path.name + ".tmp")
        descriptor = self.open_to_write(unfinished)
        try:
            self.truncate(descriptor, 0)
            self.write_at(descriptor, data, 0)
            self.fsync(descriptor)
        finally:
            self.close(descriptor)
        self.rename(unfinished, path)
        self.fsync_folder(path.parent)


def _read_fully(descriptor: int, offset: int, size_bytes: int) -> bytes:
    parts = []
    while size_bytes > 0 and (part := os.pread(descriptor, size_bytes, offset)):
        parts.append(part)
        offset, size_bytes = offset + len(part), size_bytes - len(part)
    return b"".join(parts)
