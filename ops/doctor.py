"""The doctor: looks at a machine, a data folder and a node, and says of each thing that is wrong what to do."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..bus import shown_url
from .client import Client, NodeUnreachable, RequestFailed
from .data_folder import DataFolder
from .nats_server import NatsServerError, find_binary
from .settings import Settings

DISK_FREE_GIB_MIN = 1.0
LAG_EVENTS_MAX = 10_000
PROBE_SECONDS_MAX = 1.0

Verdict = Literal["ok", "warning", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `advice` says what to do where it isn't well."""

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""


def examine(settings: Settings, client: Client) -> Iterator[Finding]:
    """Look at everything, in the order in which one thing needs the other."""
    yield _binary(settings)
    yield _disk(settings)
    node = DataFolder(settings.data).running()
    if node is None:
        yield Finding("node", "warning", f"none runs on {settings.data}", "start one with `rookery up`")
        yield _port("HTTP port", settings.host, settings.port, "--port")
        if settings.nats_url is None:
            yield _port("NATS port", "127.0.0.1", settings.nats_port, "--nats-port")
    else:
        yield Finding("node", "ok", f"pid {node.pid} serves {settings.data} at {node.url}")
    yield from _serving(client)


def _binary(settings: Settings) -> Finding:
    if settings.nats_url:
        return Finding("nats-server", "ok", f"not embedded: {shown_url(settings.nats_url)} is used")
    try:
        return Finding("nats-server", "ok", str(find_binary(settings.nats_server)))
    except NatsServerError as error:
        return Finding("nats-server", "problem", "no usable binary", str(error))


def _disk(settings: Settings) -> Finding:
    folder = next(path for path in (settings.data.absolute(), *settings.data.absolute().parents) if path.exists())
    free_gib = shutil.disk_usage(folder).free / 2**30
    detail = f"{free_gib:.1f} GiB free for {settings.data}"
    if not _is_writable(folder):
        return Finding("data folder", "problem", f"{folder} can't be written to", "choose another folder with --data")
    if free_gib < DISK_FREE_GIB_MIN:
        return Finding("data folder", "problem", detail, "free some space: a node that can't write takes no events")
    return Finding("data folder", "ok", detail)


def _is_writable(folder: Path) -> bool:
    probe = folder / ".rookery-probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def _port(name: str, host: str, port: int, option: str) -> Finding:
    if _is_taken(host, port):
        advice = f"stop who uses it, or choose another with {option}"
        return Finding(name, "problem", f"port {port} on {host} is in use", advice)
    return Finding(name, "ok", f"port {port} on {host} is free")


def _is_taken(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=PROBE_SECONDS_MAX).close()
    except OSError:
        return False
    return True


def _serving(client: Client) -> Iterator[Finding]:
    try:
        subsystems = _subsystems(client)
        yield Finding("API", "ok", f"answers at {client.url}")
        for name, part in subsystems.items():
            verdict: Verdict = "ok" if part["state"] == "ready" else "problem"
            yield Finding(name, verdict, f"{part['state']} since {part['since']}", part["detail"])
        yield from _contents(client.get("/status"))
    except NodeUnreachable as error:
        yield Finding("API", "problem", f"nothing usable answers at {client.url}", str(error))
    except RequestFailed as error:
        yield Finding("API", "problem", f"{client.url} fails over a request", str(error))


def _subsystems(client: Client) -> dict[str, Any]:
    try:
        found = client.get("/health")
    except RequestFailed as unready:
        found = unready.problem
    if not isinstance(found, dict) or not isinstance(subsystems := found.get("subsystems"), dict):
        raise NodeUnreachable(client.url, "what answers is not Rookery")
    return subsystems


def _contents(status: dict[str, Any]) -> Iterator[Finding]:
    for origin in status["origins"]:
        yield _lag(f"log {origin['name']}", origin["lag_events"], "the bus")
    yield _lag("read models", max((model["lag_events"] for model in status["projections"]), default=0), "the log")
    if status["dead_letters"]:
        detail = f"{status['dead_letters']:,} events are in no read model"
        yield Finding("dead letters", "warning", detail, "`rookery dead-letters` says why")


def _lag(name: str, events: int, behind: str) -> Finding:
    if events > LAG_EVENTS_MAX:
        advice = "wait; if it grows, this machine is too slow for its load"
        return Finding(name, "warning", f"{events:,} events behind {behind}", advice)
    return Finding(name, "ok", f"{events:,} events behind {behind}")
