"""`rookery proficiency`: how good each agent is at each skill, how sure that is, and where the gaps are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ..client import Client
from .options import as_of_option, csv_option, json_option, node_option
from .output import refuse_two_formats, remark, show_json, show_rows

ROWS_MAX = 100_000
COLUMNS = [
    "agent_id", "skill", "rating", "low", "high", "uncertainty", "outcomes", "success_rate", "trend",
    "time_invested_seconds", "last_at",
]  # fmt: skip
GAP_COLUMNS = ["agent_id", "skill", "kind", "need", "rating", "low", "high", "outcomes"]
DAY_COLUMNS = ["day", "rating", "low", "high", "uncertainty", "outcomes"]
SHARES = ("rating", "low", "high", "success_rate", "need")


@click.command()
@click.option("--agent", metavar="AGENT", help="Of this agent alone.")
@click.option("--skill", metavar="SKILL", help="At this skill alone: who is best comes first.")
@click.option("--gaps", "of_gaps", is_flag=True, help="The skills that agents are weak or unknown at.")
@click.option("--colony", is_flag=True, help="With --gaps: those at which even the best agent is.")
@click.option("--days", type=click.IntRange(1, 366), help="With --agent and --skill: the rating of so many days.")
@click.option("--limit", type=click.IntRange(1, ROWS_MAX), default=1_000, show_default=True, help="At most so many.")
@as_of_option
@csv_option
@json_option
@node_option
def proficiency(
    client: Client,
    agent: str | None,
    skill: str | None,
    of_gaps: bool,
    colony: bool,
    days: int | None,
    limit: int,
    as_of: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Print how good each agent is at each skill, and how sure that is.

    \b
    rookery proficiency
    rookery proficiency --skill code.review
    rookery proficiency --agent coder-7 --as-of '7 days ago'
    rookery proficiency --agent coder-7 --skill code.review --days 14
    rookery proficiency --gaps
    rookery proficiency --gaps --colony --json

    A rating is the chance of success at a task of average difficulty: with 95 % probability it is between low and
    high. Success rate and trend are what was observed; the rating allows for how hard the tasks were, for what the
    agent does elsewhere, and for how long ago it was. A gap is a skill that fails more often than not (weak), or that
    nobody can tell yet (unknown); the greatest need of practice comes first.
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    if colony and not of_gaps:
        raise click.UsageError("--colony goes with --gaps.")
    if days and (of_gaps or not (agent and skill)):
        raise click.UsageError("--days goes with --agent and --skill, and not with --gaps.")
    asked: dict[str, Any] = {"agent": agent, "skill": skill, "as_of": as_of}
    if days:
        found = client.get("/proficiency/history", days=days, **asked)
        columns, rows = DAY_COLUMNS, found["days"]
    elif of_gaps:
        found = client.get("/proficiency/gaps", of="colony" if colony else "agents", limit=limit, **asked)
        columns, rows = GAP_COLUMNS, [one | one["rating"] for one in found["gaps"]]
    else:
        found = client.get("/proficiency", limit=limit, **asked)
        columns, rows = COLUMNS, found["ratings"]
    if as_json:
        show_json(found)
        return
    shown = [{name: row[name] for name in columns} for row in rows]
    show_rows(columns, shown if as_csv else [_readable(row) for row in shown], as_json=False, as_csv=as_csv)
    if found.get("truncated"):
        remark("there are more than these; --limit shows more of them")


def _readable(row: Mapping[str, Any]) -> dict[str, Any]:
    told = dict(row)
    for name in SHARES:
        if (share := told.get(name)) is not None:
            told[name] = f"{share:.0%}"
    if told.get("trend") is not None:
        told["trend"] = f"{100 * told['trend']:+.0f} points"
    if "uncertainty" in told:
        told["uncertainty"] = f"{told['uncertainty']:.2f}"
    if told.get("last_at"):
        told["last_at"] = told["last_at"].partition(".")[0].removesuffix("Z")
    return told
