"""`rookery demo fleet`: ten agents work on this folder's files, one is killed, and the work goes on."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ..fleet_demo import Worked, at_work, files_of
from ..settings import Settings
from .demo_node import interruptible, node_for
from .options import json_option, setting_options
from .output import plural, remark, show_json
from .table import visible


@click.command("fleet")
@setting_options("data")
@json_option
def fleet(data: str | None, as_json: bool) -> None:
    """Let ten agents count, lint and test the files of this folder, and kill one of them in the midst of it.

    What it had in hand goes to another as soon as the colony knows that it is dead, and each task ends exactly once.
    The agents are processes of docs/examples/fleet_agent.py; they read, and change nothing. The node that runs is used;
    where none does, one runs for as long as the demo. What stays is the data folder.

    \b
    rookery demo fleet
    rookery demo fleet --json | jq .killed
    """
    settings, folder = Settings.load({"data": data}), Path.cwd()
    files = files_of(folder)
    with interruptible(), node_for(settings) as (client, is_ours):
        remark(f"ten agents start, to work on {visible(str(folder))} …")
        worked = at_work(client, folder, files, remark)
    if as_json:
        show_json(worked)
    else:
        _show(worked, _next(data, is_ours=is_ours))


def _next(data: str | None, *, is_ours: bool) -> list[str]:
    up = shlex.join(["rookery", "up", "--detach", *(["--data", data] if data else [])])
    looks = ["rookery agents stats", "rookery assignments list", "rookery proficiency"]
    return [up, *looks] if is_ours else looks


def _show(worked: Worked, following: list[str]) -> None:
    killed = worked.killed
    for row in worked.work:
        click.echo(f"  {row['agent_id']:<10} {row['capability']:<11} {plural(row['tasks'], 'task')}")
    click.echo(
        f"{killed.agent_id} was killed with a task in hand; that was known after {killed.noticed_seconds:.1f} s, and "
        f"{killed.taken_up_by} did it"
    )
    click.echo(
        f"{worked.completed} of {plural(worked.tasks, 'task')} done, {worked.ended_once} of them ended exactly once, "
        f"in {worked.seconds:.0f} s. Next:"
    )
    for command in following:
        click.echo(f"  {command}")
