"""`rookery assignments`: the work that was given, what happened to each piece of it, and giving out practice."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click
import msgspec

from ..client import Client
from .assign import cancel, json_in
from .options import FiniteRange, as_of_option, csv_option, json_option, node_option
from .output import plural, refuse_two_formats, remark, show_json, show_rows

PAGE = 1_000
COLUMNS = ["assignment_id", "status", "kind", "agent_id", "attempts", "created_at", "duration_seconds", "error"]
PRACTICE = ["assignment_id", "agent_id", "capability", "reason", "need", "rating"]


@click.group()
def assignments() -> None:
    """The work that was given, and what became of it.

    \b
    rookery assignments list --status pending,running
    rookery assignments show as-42            with all that happened to it
    rookery assignments retry as-42
    rookery assignments distribute --count 5  practice for who needs it most
    """


@assignments.command("list")
@click.option("--status", metavar="STATUSES", help="Only those that stand so, with commas between them.")
@click.option("--kind", metavar="NAME", help="Only tasks of this kind.")
@click.option("--agent", "agent_id", metavar="ID", help="Only those that this agent has, or had.")
@click.option("--skill", metavar="NAME", help="Only those that ask for this skill.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@as_of_option
@csv_option
@json_option
@node_option
def list_(client: Client, limit: int, as_csv: bool, as_json: bool, **filters: str | None) -> None:
    """List assignments, the latest first; all conditions must hold.

    \b
    rookery assignments list
    rookery assignments list --status failed,timed_out --agent coder-7
    rookery assignments list --kind code.review --json | jq '.[].chosen'
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    found, cursor = list[dict[str, Any]](), None
    while len(found) < limit:
        page = client.get("/assignments", limit=min(limit - len(found), PAGE), cursor=cursor, **filters)
        found += page["assignments"]
        if (cursor := page["next"]) is None:
            break
    columns = list(found[0]) if as_csv and found else COLUMNS
    rows = found if as_json or as_csv else [{name: row[name] for name in COLUMNS} for row in found]
    show_rows(columns, rows, as_json=as_json, as_csv=as_csv, hide_empty=True)


@assignments.command()
@click.argument("assignment_id", metavar="ID")
@json_option
@node_option
def show(client: Client, assignment_id: str, as_json: bool) -> None:
    """Show how the assignment ID stands, and all that happened to it.

    \b
    rookery assignments show as-42
    rookery assignments show as-42 --json | jq .chosen
    """
    found = client.get(_path(assignment_id)) | client.get(f"{_path(assignment_id)}/history")
    if as_json:
        show_json(found)
        return
    told = {name: value for name, value in found.items() if name not in ("history", "result", "chosen")}
    told |= {
        name: msgspec.json.encode(found[name]).decode() for name in ("chosen", "result") if found[name] is not None
    }
    show_rows(["field", "value"], [{"field": k, "value": v} for k, v in told.items() if v is not None], as_json=False)
    click.echo()
    show_rows(["time", "fact", "by", "about"], [_happened(one) for one in found["history"]], as_json=False)


@assignments.command()
@click.argument("assignment_id", metavar="ID")
@json_option
@node_option
def retry(client: Client, assignment_id: str, as_json: bool) -> None:
    """Give the assignment ID once more, if it failed, timed out or was called off; print the new one's id.

    \b
    rookery assignments retry as-42
    """
    told = client.post(f"{_path(assignment_id)}/retry", b"")
    show_json(told) if as_json else click.echo(told["assignment_id"])


@assignments.command()
@click.option("--count", type=click.IntRange(1, 1_000), default=5, show_default=True, help="How much at most.")
@click.option("--skill", "skills", multiple=True, metavar="NAME", help="Only practice of this skill.  [repeatable]")
@click.option(
    "--input", "given", default="null", help="What to work on: JSON, @FILE with JSON in it, or - for standard input."
)
@click.option("--timeout", type=FiniteRange(min=0, min_open=True), metavar="SECONDS", help="For each attempt.")
@json_option
@node_option
def distribute(
    client: Client, count: int, skills: tuple[str, ...], given: str, timeout: float | None, as_json: bool
) -> None:
    """Give practice to the agents whose gaps are greatest, and nobody more than there is room for.

    A gap is a capability that its agent is bad at, or of which too little is known.

    \b
    rookery assignments distribute
    rookery assignments distribute --count 20 --skill code.review --input @diff.json
    """
    asked = {"count": count, "skills": list(skills) or None, "input": json_in(given), "timeout_seconds": timeout}
    told = client.post("/assignments/distribute", msgspec.json.encode(asked))
    if as_json:
        show_json(told)
        return
    rows = [{name: (one | one["chosen"]).get(name) for name in PRACTICE} for one in told["assignments"]]
    show_rows(PRACTICE, rows, as_json=False)
    for refused in told["refused"]:
        remark(f"nothing for {refused['agent_id']}: {refused['reason']}")
    remark(f"{plural(len(rows), 'assignment')} given")


assignments.add_command(cancel)


def _path(assignment_id: str) -> str:
    return f"/assignments/{quote(assignment_id, safe='')}"


def _happened(one: dict[str, Any]) -> dict[str, Any]:
    said = one["data"]
    about = ", ".join(f"{name}={said[name]}" for name in ("agent_id", "attempt", "reason", "error") if name in said)
    return {"time": one["time"], "fact": one["fact"], "by": one["source"], "about": about}
