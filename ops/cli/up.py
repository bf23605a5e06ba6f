"""`rookery up` and `rookery down`: starting and stopping a node."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import time
from pathlib import Path

import click

from ...bus import shown_url
from ...schemas import RookeryError
from ..data_folder import DataFolder, DataFolderUnusable, RunningNode
from ..settings import Settings, described, misspelt
from .options import json_option, node_of, setting_options
from .output import remark, show_json

GIVE_MEMORY_BACK = ("DUCKDB_JE_MALLOC_CONF", "retain:false")

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
POLL_SECONDS = 0.02
LOG_FILE = "node.log"


class AlreadyRunning(RookeryError):
    """A node runs on the data folder. `node` is None while it starts."""

    def __init__(self, folder: Path, node: RunningNode | None) -> None:
        self.folder = folder
        self.node = node
        what = f"a node runs on {folder} already: {node.url}, pid {node.pid}" if node else f"a node starts on {folder}"
        super().__init__(f"{what}; stop it with `rookery down`, or choose another folder with --data")


class StartFailed(RookeryError):
    """The node in the background ended before it was ready."""

    def __init__(self, log: Path) -> None:
        self.log = log
        lines = log.read_text(errors="replace").strip().splitlines()
        last = lines[-1] if lines else "it said nothing"
        super().__init__(f"{last.removeprefix('error: ')} (see {log})")


class StillStarting(RookeryError):
    """The node in the background takes its time: a big log is read before it is ready."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log
        super().__init__(
            f"the node (pid {pid}) has not been ready within {START_SECONDS_MAX:g} s and goes on starting; "
            f"`rookery status` answers when it is, and {log} has what it says"
        )


class StopFailed(RookeryError):
    """The node did not stop in time."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        super().__init__(f"pid {pid} has not stopped in {STOP_SECONDS_MAX:g} s; `kill -9 {pid}` loses nothing")


@click.command()
@setting_options(*(setting.name for setting in described()))
@click.option("--detach", is_flag=True, help="Run in the background; return when the node is ready.")
@click.option("--new-bus", is_flag=True, help="The bus is another one than before, on purpose: read it from its start.")
@json_option
def up(detach: bool, new_bus: bool, as_json: bool, **options: str | None) -> None:
    """Run a node: the bus, the event log, the read models and the HTTP API, until SIGTERM or Ctrl-C.

    Settings come from these options, else from the variables, else from rookery.toml in this folder, as in `port =
    8801`, else they are the defaults.

    \b
    rookery up
    rookery up --detach
    rookery up --data /srv/rookery --port 8801 --nats-port 4223 --detach
    ROOKERY_ORIGIN=berlin rookery up
    """
    for stranger, meant in misspelt(os.environ).items():
        remark(f"{stranger} is no setting and is ignored; did you mean {meant}?")
    settings = Settings.load(options)
    folder = DataFolder(settings.data)
    if folder.is_owned():
        raise AlreadyRunning(folder.path, folder.running())
    if new_bus:
        folder.expect_new_bus()
    if detach:
        _show(start(folder, options), options, as_json=as_json)
    else:
        # Before DuckDB is loaded: what it frees goes back to the system, beneath whose ceiling others need it.
        os.environ.setdefault(*GIVE_MEMORY_BACK)
        from ..serve import serve

        asyncio.run(serve(settings, on_ready=lambda node: _show(node, options, as_json=as_json)))


@click.command()
@setting_options("data")
def down(data: str | None) -> None:
    """Stop the node that runs on the data folder, and wait until it has. Does nothing where none runs.

    \b
    rookery down
    rookery down --data /srv/rookery
    """
    folder = DataFolder(Settings.load({"data": data}).data)
    click.echo("stopped" if stop(folder) else f"no node runs on {folder.path}")


def stop(folder: DataFolder) -> bool:
    """Stop the node that runs on the folder, and wait until it has. False where none runs. Raises `StopFailed`."""
    deadline = time.monotonic() + STOP_SECONDS_MAX
    asked: int | None = None
    while folder.is_owned():
        pid = folder.owner()
        if pid is not None and pid != asked:
            os.kill(pid, signal.SIGTERM)
            asked = pid
        if time.monotonic() > deadline:
            raise StopFailed(asked or 0)
        time.sleep(POLL_SECONDS)
    return asked is not None


def start(folder: DataFolder, options: dict[str, str | None]) -> RunningNode:
    """Start a node in the background, and wait until it is ready. Raises `StartFailed` or `StillStarting`."""
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None]
    log = folder.path / LOG_FILE
    # -P: a file of the user's in this folder must not take the place of a module of ours
    command = [sys.executable, "-P", "-m", "rookery.ops.cli", "up", *given]
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])  # until we know whom to end
    try:
        pid = _spawn(command, log, earlier)
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
        raise
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
        return _ready(folder, pid, log)
    except KeyboardInterrupt:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        raise


def _ready(folder: DataFolder, pid: int, log: Path) -> RunningNode:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        node = folder.running()
        if node and node.pid == pid:
            return node
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            raise StartFailed(log)
        time.sleep(POLL_SECONDS)
    raise StillStarting(pid, log)


def _spawn(command: list[str], log: Path, blocked: set[int | signal.Signals]) -> int:
    """Start a process that outlives this one and its terminal, and writes to `log`; returns its pid."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():  # what the node before this one said is kept once
            log.replace(log.with_suffix(".log.1"))
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise DataFolderUnusable(log.parent, error.strerror or str(error)) from None
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    try:
        return os.posix_spawn(command[0], command, os.environ, file_actions=files, setsid=True, setsigmask=blocked)
    finally:
        os.close(output)


def _show(node: RunningNode, options: dict[str, str | None], *, as_json: bool) -> None:
    if as_json:
        show_json(node)
        return
    click.echo(f"Rookery is ready at {node.url}")
    click.echo(f"  bus   {shown_url(node.nats_url)}")
    if node_of(Settings.load()) != node.url:  # the other commands would not find it by themselves
        click.echo(f"  use   export ROOKERY_URL={node.url}")
    down = ["rookery", "down", *(["--data", data] if (data := options["data"]) else [])]
    click.echo(f"  next  rookery status · rookery import --help · {shlex.join(down)}")
