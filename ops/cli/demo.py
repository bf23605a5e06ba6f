"""`rookery demo`: the first minute, on what every clone has: its history, and files for agents to look at."""

from __future__ import annotations

import asyncio
import shlex
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from ...handlers.importers import run_import
from ...handlers.importers.history import opened
from ...schemas import InvalidInput
from ..client import Client
from ..examples import EXAMPLES, Done, at_work
from ..settings import Settings
from .demo_fleet import fleet
from .demo_node import interruptible, node_for
from .importing import publisher
from .options import json_option, setting_options
from .output import plural, remark, show_json
from .table import visible

COMMITS_MAX = 5_000
SETTLE_SECONDS_MAX = 15.0
POLL_SECONDS = 0.05
INSIGHTS_SHOWN_MAX = 5
STATEMENT = (Path(__file__).parent.parent / "sql" / "demo.sql").read_text("utf-8")


class NoHistory(InvalidInput):
    """The folder has no history to import."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(f"{folder} has no history to look at: {reason}; go into a clone of a repository")


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a demo did, and what is recorded of it. `statements` are the knowledge graph's."""

    folder: str
    repository: str
    commits: int
    authors: int
    tasks: list[Done]
    runs: int
    tool_calls: int
    insights: list[dict[str, str]]
    proficiency: list[dict[str, Any]]
    statements: int
    seconds: float
    next: list[str]


@click.group(invoke_without_command=True)
@setting_options("data")
@json_option
@click.pass_context
def demo(context: click.Context, data: str | None, as_json: bool) -> None:
    """Show what Rookery does, on this folder, within a minute: it needs no key and downloads nothing.

    Imports the latest commits of the repository and lets three agents look at its files: what it is written in, what a
    linter finds, how many tests it has. They are the programs in docs/examples. The node that runs is used; where none
    does, one runs for as long as the demo. What stays is the data folder.

    \b
    rookery demo
    rookery demo --json | jq .insights
    rookery demo fleet
    """
    if context.invoked_subcommand is not None:
        return
    settings, folder, began = Settings.load({"data": data}), Path.cwd(), datetime.now(UTC)
    repository = _repository(folder)
    with interruptible(), node_for(settings) as (client, is_ours):
        remark(f"{visible(repository)}: importing its latest commits …")
        imported = asyncio.run(run_import("git", [folder], {"last": str(COMMITS_MAX)}, publisher(client)))
        for rejection in imported.rejections:
            remark(f"not imported: {visible(f'{rejection.where} {rejection.reason}'.strip())}")
        remark(f"{', '.join(example.agent_id for example in EXAMPLES)}: at work on {visible(str(folder))} …")
        tasks = at_work(client.get("/status")["bus"]["url"], folder)
        _settle(client)
        shown = Shown(
            folder=str(folder),
            repository=repository,
            tasks=tasks,
            statements=client.get("/graph/stats")["triples"],
            seconds=(datetime.now(UTC) - began).total_seconds(),
            next=_next(data, is_ours=is_ours),
            proficiency=_proficiency(client),
            **_recorded(client, repository, began),
        )
    show_json(shown) if as_json else _show(shown)


demo.add_command(fleet)


def _repository(folder: Path) -> str:
    """What the repository is called that the folder is in."""
    try:
        with opened(folder) as history:
            return history.name
    except OSError as error:
        raise NoHistory(folder, str(error)) from None


def _settle(client: Client) -> None:
    """Wait until the read models and the graph hold what was published, or, where others publish, for long enough."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while _behind(client.get("/status")) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _behind(status: dict[str, Any]) -> int:
    parts = [*status["origins"], *status["projections"]]
    return int(sum(part["lag_events"] for part in parts) + status["graph_lag_events"])


def _recorded(client: Client, repository: str, began: datetime) -> dict[str, Any]:
    agents = [example.agent_id for example in EXAMPLES]
    parameters = {"agents": agents, "began": f"{began:%Y-%m-%d %H:%M:%S.%f}", "repository": repository}
    [row] = client.post("/sql", msgspec.json.encode({"sql": STATEMENT, "parameters": parameters}))["rows"]
    return dict(row)


def _proficiency(client: Client) -> list[dict[str, Any]]:
    agents = sorted(example.agent_id for example in EXAMPLES)
    return [row for agent_id in agents for row in client.get("/proficiency", agent=agent_id)["ratings"]]


def _next(data: str | None, *, is_ours: bool) -> list[str]:
    """Three commands to go on with. A node of our own has ended, and what it recorded is there for the next one."""
    up = shlex.join(["rookery", "up", "--detach", *(["--data", data] if data else [])])
    looks = ["rookery query insights", "rookery graph neighbours agent/surveyor", "rookery query commits_by_author"]
    return [up, *looks[:2]] if is_ours else looks


def _show(shown: Shown) -> None:
    click.echo(f"{visible(shown.repository)}  {plural(shown.commits, 'commit')} by {plural(shown.authors, 'author')}")
    for task in shown.tasks:
        said = task.summary or click.style(f"failed: {task.error}", fg="red")
        click.echo(f"  {task.agent_id:<10} {task.capability:<16} {visible(said)} ({task.seconds:.1f} s)")
    click.echo(
        f"recorded  {plural(shown.runs, 'run')}, {plural(shown.tool_calls, 'tool call')}, "
        f"{plural(len(shown.insights), 'insight')}, {plural(shown.statements, 'statement')} in the knowledge graph"
    )
    told = dict.fromkeys((insight["agent_id"], insight["text"]) for insight in shown.insights)
    for agent_id, text in list(told)[:INSIGHTS_SHOWN_MAX]:
        click.echo(f"  {agent_id:<10} {visible(text)}")
    click.echo("proficiency, from what came of each task")
    for row in shown.proficiency:
        bounds = f"({row['low']:.2f} to {row['high']:.2f})"
        click.echo(f"  {row['agent_id']:<10} {row['skill']:<16} {row['rating']:.2f} {bounds} after {row['outcomes']}")
    click.echo(f"in {shown.seconds:.0f} s. Next:")
    for command in shown.next:
        click.echo(f"  {command}")
