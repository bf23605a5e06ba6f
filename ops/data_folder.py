"""The data folder: one node at a time owns it, and leaves word there of who it is."""

from __future__ import annotations

import fcntl
import os
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType

import msgspec

from ..schemas import RookeryError

LOCK_FILE = "node.lock"
NODE_FILE = "node.json"
LOCK_ATTEMPTS_MAX = 10
LOCK_PAUSE_SECONDS = 0.02


class DataFolderInUse(RookeryError):
    """Another node owns the data folder."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        self.folder = folder
        self.pid = pid
        owner = f"the node with pid {pid}" if pid else "another node"
        super().__init__(
            f"{folder} is in use by {owner}; stop it with `rookery down`, or choose another folder with --data"
        )


class DataFolderUnusable(RookeryError):
    """The data folder can't be made or written to."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(f"can't use the data folder {folder}: {reason}; choose another with --data")


class RunningNode(msgspec.Struct, frozen=True):
    """Who owns a data folder, and where it answers."""

    pid: int
    url: str
    nats_url: str
    started_at: datetime


class DataFolder:
    """A data folder, owned from `__enter__` to `__exit__` through a lock that the kernel drops if the process dies."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def log(self) -> Path:
        """Where the event log lies."""
        return self.path / "log"

    @property
    def database(self) -> Path:
        """The DuckDB file of the read models."""
        return self.path / "projections.duckdb"

    @property
    def snapshot(self) -> Path:
        """The copy of the read models that other processes may open."""
        return self.path / "snapshot" / "rookery.duckdb"

    @property
    def graph(self) -> Path:
        """Where the knowledge graph lies."""
        return self.path / "graph"

    @property
    def graph_imports(self) -> Path:
        """Where the files of reference data are kept that the knowledge graph has taken in."""
        return self.path / "graph-imports"

    @property
    def reactions(self) -> Path:
        """A file that says where the reactions are in the log; derived, and made again where it is missing."""
        return self.path / "reactions.json"

    @property
    def vault(self) -> Path:
        """Where the keys of people lie, with which personal data are sealed."""
        return self.path / "vault"

    @property
    def restored(self) -> Path:
        """A file that is there from a restore on until the node has taken its first event from its bus, a new one."""
        return self.path / "restored"

    def expect_new_bus(self) -> None:
        """Have the next node read its bus from the start: it is another one than the log was taken from."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.restored.touch()
        except OSError as error:
            raise DataFolderUnusable(self.path, error.strerror or str(error)) from None

    def __enter__(self) -> DataFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataFolderUnusable(self.path, error.strerror or str(error)) from None
        if not self._locked():
            owner = self._owner()
            os.close(self._lock)
            raise DataFolderInUse(self.path, owner)
        # Whoever owned the folder before may have been killed, and its word be there still.
        (self.path / NODE_FILE).unlink(missing_ok=True)
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, b"%d" % os.getpid(), 0)
        return self

    def _locked(self) -> bool:
        """Take the lock; more than one attempt, because whoever looks if the folder is owned locks it for a moment."""
        for _ in range(LOCK_ATTEMPTS_MAX):
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(LOCK_PAUSE_SECONDS)
            else:
                return True
        return False

    def _owner(self) -> int | None:
        text = os.pread(self._lock, 32, 0)
        return int(text) if text.isdigit() else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self.path / NODE_FILE).unlink(missing_ok=True)
        os.close(self._lock)

    def announce(self, node: RunningNode) -> None:
        """Leave word of the node that owns the folder, for `running` to find."""
        beside = self.path / f"{NODE_FILE}.new"
        try:
            beside.unlink(missing_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # a URL may carry a password
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(node))
            beside.replace(self.path / NODE_FILE)
        except OSError as error:
            raise DataFolderUnusable(self.path, error.strerror or str(error)) from None

    def is_owned(self) -> bool:
        """Whether a living process owns the folder."""
        try:
            lock = os.open(self.path / LOCK_FILE, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(lock)

    def running(self) -> RunningNode | None:
        """The node that owns the folder and has announced itself."""
        return self._announced() if self.is_owned() else None

    def owner(self) -> int | None:
        """The process id of the owner, which a node is from the first moment of its start; None if nobody is."""
        try:
            text = (self.path / LOCK_FILE).read_bytes()
        except OSError:
            return None
        return int(text) if text.isdigit() and self.is_owned() else None

    def _announced(self) -> RunningNode | None:
        try:
            return msgspec.json.decode((self.path / NODE_FILE).read_bytes(), type=RunningNode)
        except (OSError, msgspec.MsgspecError):
            return None
