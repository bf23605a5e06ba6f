"""`rookery rebuild`: the read models made anew from the log, checked against it, or rolled back."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from ..client import Client, RequestFailed
from .exits import EXIT_FAILED
from .options import json_option, node_option
from .output import plural, remark, show_json, show_rows, size_text
from .table import harmless

LOOK_SECONDS = 0.1

Draw = Callable[[dict[str, Any]], None]


@click.command()
@click.option("--verify", is_flag=True, help="Only compare: change nothing, and exit with 1 if anything differs.")
@click.option("--rollback", is_flag=True, help="Bring back the version that the latest rebuild replaced.")
@click.option("--status", is_flag=True, help="Say how the latest one stands, and begin none.")
@click.option("--cancel", is_flag=True, help="End the one that is under way; the read models stay as they are.")
@json_option
@node_option
def rebuild(client: Client, verify: bool, rollback: bool, status: bool, cancel: bool, as_json: bool) -> None:
    """Build all read models anew from the log and put them in the place of the old ones.

    Queries are answered throughout. A digest of each read model, before and after, shows whether anything changed:
    --json has them all. The version before is kept: --rollback brings it back, level with the log, and a second
    --rollback undoes the first.

    It is seldom needed: a node whose read models are damaged, or of another version than its own, rebuilds them by
    itself when it starts. --verify proves that they are what the log says. Ctrl-C ends the waiting, not the rebuild.

    \b
    rookery rebuild
    rookery rebuild --verify && echo "every number is what the log says"
    rookery rebuild --rollback
    rookery rebuild --status --json | jq .latest.seconds_left
    """
    if verify + rollback + status + cancel > 1:
        raise click.UsageError("--verify, --rollback, --status and --cancel exclude each other: choose one.")
    if cancel:
        ended = client.delete("/rebuild")
        show_json(ended) if as_json else click.echo("it ends; the read models stay as they are")
    elif status:
        _tell(client.get("/rebuild"), as_json=as_json)
    else:
        _rebuild(client, "/verify" if verify else "/rollback" if rollback else "", as_json=as_json)


def _rebuild(client: Client, what: str, *, as_json: bool) -> None:
    begun = client.post(f"/rebuild{what}", b"", wait="false")
    try:
        with _drawing(what) as draw:
            ended = _end_of(client, begun, draw)
    except KeyboardInterrupt:
        remark("it goes on in the node; `rookery rebuild --status` says how far it is, and --cancel ends it")
        raise
    if failure := ended["failure"]:
        raise RequestFailed(0, failure)
    report = ended["report"]
    show_json(report) if as_json else _show(report, what)
    if what == "/verify" and report["changed"] != []:
        click.get_current_context().exit(EXIT_FAILED)


def _end_of(client: Client, begun: dict[str, Any], draw: Draw) -> dict[str, Any]:
    """How the rebuild ended, once it has."""
    latest = begun
    while latest["state"] == "running" and latest["number"] == begun["number"]:
        draw(latest)
        time.sleep(LOOK_SECONDS)
        latest = client.get("/rebuild")["latest"]
    if latest["number"] != begun["number"]:
        raise RequestFailed(0, {"detail": "another rebuild has begun since; `rookery rebuild --status` tells of that"})
    return latest


@contextmanager
def _drawing(what: str) -> Iterator[Draw]:
    """What shows how far it is, on the terminal if there is one."""
    if not sys.stderr.isatty():
        yield lambda latest: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("events", total=None)

        def draw(latest: dict[str, Any]) -> None:
            done, total = latest["events_done"], latest["events_total"]
            doing = "comparing and taking over" if total and done == total else "events"
            bar.update(task, completed=done, total=total or None, description=doing)

        yield draw


def _show(report: dict[str, Any], what: str) -> None:
    done = f"{plural(report['events'], 'event')} in {report['seconds']:.2f} s"
    if what == "/rollback":
        click.echo(f"the version before is back; it took {done} to bring it level with the log")
        return
    changed = report["changed"]
    if changed is None:
        click.echo(f"{done}; there was nothing to compare with")
        return
    before, after = report["digests_before"], report["digests_after"]
    if changed:
        models = [{"read model": name, "before": before.get(name), "after": after[name]} for name in changed]
        show_rows(["read model", "before", "after"], models, as_json=False)
    click.echo(f"{done}; {len(after) - len(changed):,} of {plural(len(after), 'read model')} as before")


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    if found["outdated"]:
        click.echo(f"{found['outdated']}; until then they answer as of {_address(found['checkpoint'])}")
    latest, previous = found["latest"], found["previous"]
    if latest is None:
        click.echo("no rebuild since the node's start")
    else:
        click.echo(f"{latest['kind']} {latest['number']}: {latest['state']}, {_far(latest)}")
        if latest["failure"]:
            click.echo(harmless(latest["failure"]["detail"]))
    if previous:
        size = size_text(previous["size_bytes"])
        click.echo(f"the version before, live until {previous['live_until']} ({size}), can be had back with --rollback")


def _far(latest: dict[str, Any]) -> str:
    done = f"{latest['events_done']:,} of {latest['events_total']:,} events in {latest['seconds']:.1f} s"
    left = latest["seconds_left"]
    return done if left is None else f"{done}, about {left:.0f} s left"


def _address(vector: dict[str, int]) -> str:
    return ", ".join(f"{origin}:{n}" for origin, n in vector.items()) or "nothing"
