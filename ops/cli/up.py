"""`rookery up` and `rookery down`: starting and stopping a node."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click

from ...schemas import RookeryError
from ..data_folder import DataFolder, RunningNode
from ..settings import Settings
from .options import json_option
from .output import show_json

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
POLL_SECONDS = 0.02
LOG_FILE = "node.log"


class StartFailed(RookeryError):
    """The node in the background ended before it was ready."""

    def __init__(self, log: Path) -> None:
        self.log = log
        lines = log.read_text(errors="replace").strip().splitlines()
        last = lines[-1] if lines else "it said nothing"
        super().__init__(f"{last.removeprefix('error: ')} (see {log})")


class StopFailed(RookeryError):
    """The node did not stop in time."""


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="The data folder.  [default: rookery-data]"
)
@click.option("--origin", help="This bus's name in the addresses of its events.  [default: local]")
@click.option("--host", help="Listen on this address.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="The HTTP API's port; 0 takes any that is free.  [default: 8800]")
@click.option("--nats-port", type=int, help="The embedded nats-server's port; 0 takes any.  [default: 4222]")
@click.option("--nats-url", help="Use this NATS server instead of the embedded one.")
@click.option("--detach", is_flag=True, help="Run in the background; return when the node is ready.")
@json_option
def up(detach: bool, as_json: bool, **options: Any) -> None:
    """Run a node: the bus, the event log, the read models and the HTTP API, until SIGTERM or Ctrl-C.

    Settings come from these options, from ROOKERY_… variables, and from rookery.toml in this folder.

    \b
    rookery up
    rookery up --data /srv/rookery --port 8801 --nats-port 4223 --detach
    """
    settings = Settings.load(options)
    if detach:
        _show(_in_background(settings, options), as_json=as_json)
    else:
        from ..serve import serve

        asyncio.run(serve(settings, on_ready=lambda node: _show(node, as_json=as_json)))


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="The data folder.  [default: rookery-data]"
)
def down(data: Path | None) -> None:
    """Stop the node that runs on the data folder, and wait until it has."""
    folder = DataFolder(Settings.load({"data": data}).data)
    node = folder.running()
    if node is None:
        click.echo(f"no node runs on {folder.path}")
        return
    os.kill(node.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while folder.is_owned():
        if time.monotonic() > deadline:
            raise StopFailed(
                f"pid {node.pid} has not stopped in {STOP_SECONDS_MAX:g} s; `kill -9 {node.pid}` loses nothing"
            )
        time.sleep(POLL_SECONDS)
    click.echo("stopped")


def _in_background(settings: Settings, options: dict[str, Any]) -> RunningNode:
    folder = DataFolder(settings.data)
    folder.path.mkdir(parents=True, exist_ok=True)
    log = folder.path / LOG_FILE
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None]
    pid = _spawn([sys.executable, "-m", "rookery.ops.cli", "up", *given], log)
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        node = folder.running()
        if node and node.pid == pid:
            return node
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            raise StartFailed(log)
        time.sleep(POLL_SECONDS)
    os.kill(pid, signal.SIGTERM)
    raise StartFailed(log)


def _spawn(command: list[str], output: Path) -> int:
    """Start a process that outlives this one and its terminal; returns its pid."""
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(output), write, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], command, os.environ, file_actions=files, setsid=True)


def _show(node: RunningNode, *, as_json: bool) -> None:
    if as_json:
        show_json(node)
        return
    click.echo(f"Rookery is ready at {node.url}")
    click.echo(f"  bus   {node.nats_url}")
    click.echo("  next  rookery status · rookery import --help · rookery down")
