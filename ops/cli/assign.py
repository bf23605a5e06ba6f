"""`rookery assign` and `cancel`: work for an agent, what comes of it, and calling it off."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec

from ...schemas import InvalidData, RookeryError
from ..client import Client
from .options import FiniteRange, json_option, node_option, standard_input
from .output import remark, show_json

# How long the node lets one request wait; who waits for longer asks again. Below the client's own time limit.
WAIT_SECONDS = 30.0
ABLE = "select count(*) as agents from agents where list_contains(capabilities, ?)"


class NotDone(RookeryError):
    """An assignment that was waited for ended, and is not done."""

    def __init__(self, assignment_id: str, status: str, error: str | None) -> None:
        self.assignment_id = assignment_id
        self.status = status
        self.error = error
        super().__init__(f"assignment {assignment_id} {status.replace('_', ' ')}" + (f": {error}" if error else ""))


@click.command()
@click.argument("capability")
@click.option(
    "--input", "given", default="null", help="What to work on: JSON, @FILE with JSON in it, or - for standard input."
)
@click.option("--agent", "agent_id", metavar="ID", help="For this agent only.  [default: who has the capability]")
@click.option("--best", is_flag=True, help="For the best agent of all that are alive: by rating, load and cost.")
@click.option("--skill", metavar="NAME", help="What agents are compared by.  [default: the capability]")
@click.option(
    "--timeout",
    type=FiniteRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long an attempt at it may take.  [default: as the agent says]",
)
@click.option(
    "--deadline",
    type=FiniteRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long it may take in all, waiting included.  [default: for ever]",
)
@click.option("--attempts", type=click.IntRange(1, 20), metavar="N", help="How often it is tried at most.")
@click.option("--wait", is_flag=True, help="Wait for the end, and print the result.")
@click.option("--id", "assignment_id", help="The assignment's id; giving it twice changes nothing.  [default: fresh]")
@json_option
@node_option
def assign(
    client: Client,
    capability: str,
    given: str,
    agent_id: str | None,
    best: bool,
    skill: str | None,
    timeout: float | None,
    deadline: float | None,
    attempts: int | None,
    wait: bool,
    assignment_id: str | None,
    as_json: bool,
) -> None:
    """Give work to an agent that has CAPABILITY, and print the assignment's id.

    The work waits until an agent takes it up. With --wait, the result is printed as JSON, and the exit code is 1 if the
    work failed; Ctrl-C ends the waiting and not the work.

    \b
    rookery assign code.review --input '{"path": "."}' --wait
    rookery assign code.review --input @diff.json --agent coder-7 --timeout 300
    rookery assign code.review --input @diff.json --best --deadline 3600
    git diff | jq -Rs '{diff: .}' | rookery assign code.review --input - --wait
    rookery query assignments --where status=pending
    """
    asked = {
        "capability": capability,
        "input": json_in(given),
        "agent_id": agent_id,
        "best": best,
        "skill": skill,
        "timeout_seconds": timeout,
        "deadline_seconds": deadline,
        "attempts_max": attempts,
        "id": assignment_id or None,
    }
    told = client.post("/assignments", msgspec.json.encode(asked))
    _remark_if_nobody_can(client, capability, told)
    if wait:
        told = _until_over(client, told)
    if as_json:
        show_json(told)
    elif not wait:
        click.echo(told["assignment_id"])
    elif told["status"] == "completed":
        show_json(told["result"])
    if wait and told["status"] != "completed":
        raise NotDone(told["assignment_id"], told["status"], told["error"])


@click.command()
@click.argument("assignment_id", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Why, for the record.")
@json_option
@node_option
def cancel(client: Client, assignment_id: str, reason: str | None, as_json: bool) -> None:
    """Call the assignment ID off, if it is not over: no agent begins it, and what comes of it no longer counts.

    \b
    rookery cancel as-42 --reason 'the branch is gone'
    rookery query assignments --where status=pending
    """
    path = f"/assignments/{quote(assignment_id, safe='')}/cancel"
    told = client.post(path, msgspec.json.encode({"reason": reason}))
    if as_json:
        show_json(told)
    else:
        click.echo(f"{assignment_id} {told['status']}")


def json_in(given: str) -> Any:
    """What an option that takes JSON was given: JSON, `@FILE`, or `-` for standard input. Raises `InvalidData`."""
    if given == "-":
        text = standard_input()
    elif given.startswith("@"):
        text = Path(given[1:]).read_bytes()
    else:
        text = given.encode()
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidData(f"not JSON: {error}", "input") from None


def _remark_if_nobody_can(client: Client, capability: str, told: dict[str, Any]) -> None:
    """Most often a typing mistake; an agent that is yet to come may have it all the same."""
    if told["status"] != "pending" or told["agent_id"] is not None:
        return
    asked = msgspec.json.encode({"sql": ABLE, "parameters": [capability]})
    if not client.post("/sql", asked)["rows"][0]["agents"]:
        remark(f"no agent has registered with the capability {capability!r}; the work waits until one does")


def _until_over(client: Client, told: dict[str, Any]) -> dict[str, Any]:
    path = f"/assignments/{quote(told['assignment_id'], safe='')}"
    while told["status"] in ("pending", "running"):
        told = client.get(path, wait_seconds=WAIT_SECONDS)
    return told
