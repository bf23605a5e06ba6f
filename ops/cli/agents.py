"""`rookery agents`: who is in the colony, who answers to whom, what came of their work, and changing who there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec

from ...schemas import InvalidData
from ..client import Client
from .options import FiniteRange, as_of_option, csv_option, json_option, node_option, standard_input
from .output import plural, refuse_two_formats, remark, show_json, show_rows
from .table import visible

CATALOGUE = Path(__file__).parents[1] / "catalogues" / "polyglot-swarm.json"
PAGE = 1_000
UNPRICED = "unpriced_calls"
COLUMNS = ["agent_id", "name", "role", "tier", "state", "parent_agent_id", "transport", "last_seen_at", "capabilities"]
WORK = [
    "agent_id", "state", "running", "begun", "completed", "failed", "timed_out", "released", "success_rate",
    "median_seconds", "p95_seconds", "llm_calls", "cost_usd", UNPRICED,
]  # fmt: skip
TIERS = click.Choice(["coordinator", "system", "execution"])
TRANSPORTS = click.Choice(["nats", "rest", "rpc", "mcp", "file", "a2a"])
NOTHING = ""  # what an option is given to take away what was there


@click.group()
def agents() -> None:
    """Who is in the colony, who answers to whom, and what came of their work.

    \b
    rookery agents load                    declare the 57 agents of the catalogue that is shipped
    rookery agents list --tier execution --capability 'code.*'
    rookery agents tree
    rookery agents stats
    rookery agents register coder-7 --role coder --capability code.fix --heartbeat 10
    """


@agents.command("list")
@click.option("--name", metavar="PATTERN", help="Only those whose id or name is this; * stands for any text.")
@click.option("--capability", metavar="PATTERN", help="Only those that have this capability; * stands for any text.")
@click.option("--role", help="Only those that are for this.")
@click.option("--tier", type=TIERS, help="Only those of this tier.")
@click.option(
    "--state",
    metavar="STATES",
    help="Only those in these states, with commas between them, or `all`.  [default: all that are there]",
)
@click.option("--parent", metavar="ID", help="Only those that answer to this agent.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.  [default: all]")
@as_of_option
@csv_option
@json_option
@node_option
def list_(client: Client, limit: int | None, as_csv: bool, as_json: bool, **filters: str | None) -> None:
    """List the agents that fit; all conditions must hold.

    A declared agent is meant to be there and has not come; an alive one was heard of in time, a suspect one was not,
    and an expired one is held to be dead. Those that were evicted or have left are listed with --state.

    \b
    rookery agents list
    rookery agents list --state alive --capability code.review
    rookery agents list --name '*coder*' --json
    rookery agents list --state all --as-of '1 hour ago'
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    found = list(_pages(client, "/agents", limit, **filters))
    columns = list(found[0]) if as_csv and found else COLUMNS
    rows = found if as_json or as_csv else [{name: row[name] for name in COLUMNS} for row in map(_readable, found)]
    show_rows(columns, rows, as_json=as_json, as_csv=as_csv, hide_empty=True)


@agents.command()
@click.argument("agent_id", metavar="ID")
@as_of_option
@json_option
@node_option
def show(client: Client, agent_id: str, as_of: str | None, as_json: bool) -> None:
    """Show all that is known of the agent ID, and what came of its work.

    \b
    rookery agents show coder-7
    rookery agents show coder-7 --json | jq .stats.success_rate
    """
    found = client.get(_path(agent_id), as_of=as_of)
    if as_json:
        show_json(found)
        return
    told = {**{name: value for name, value in found.items() if name != "stats"}, **found["stats"]}
    rows = [{"field": name, "value": value} for name, value in _readable(told).items() if value not in (None, [])]
    show_rows(["field", "value"], rows, as_json=False)


@agents.command()
@click.option("--state", metavar="STATES", help="Only those in these states, or `all`.  [default: all that are there]")
@as_of_option
@json_option
@node_option
def tree(client: Client, state: str | None, as_of: str | None, as_json: bool) -> None:
    """Show who answers to whom. Who answers to nobody that is there stands at the left.

    \b
    rookery agents tree
    rookery agents tree --state alive
    """
    found = client.get("/agents/tree", state=state, as_of=as_of)
    if as_json:
        show_json(found)
        return
    for root in found["roots"]:
        for line in _drawn(root, "", ""):
            click.echo(line)
    remark(plural(found["agents"], "agent"))


@agents.command()
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.  [default: all]")
@as_of_option
@csv_option
@json_option
@node_option
def stats(client: Client, limit: int | None, as_of: str | None, as_csv: bool, as_json: bool) -> None:
    """What came of each agent's work: assignments, success, latency, cost, and what it has in hand.

    Work that went from one agent to another counts for both: as released for the one, by its end for the other.

    \b
    rookery agents stats
    rookery agents stats --csv > stats.csv
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    found = list(_pages(client, "/agents/stats", limit, as_of=as_of))
    work = WORK if any(row[UNPRICED] for row in found) else WORK[:-1]
    columns = list(found[0]) if as_csv and found else work
    rows = found if as_json or as_csv else [{name: row[name] for name in work} for row in map(_readable, found)]
    show_rows(columns, rows, as_json=as_json, as_csv=as_csv, hide_empty=True)


def particulars(command: Any) -> Any:
    """The options that say what an agent is."""
    for option in reversed(
        [
            click.option("--name", help="What people call it.  [default: its id]"),
            click.option("--role", help="What it is for."),
            click.option("--tier", type=TIERS, help="Its place in the hierarchy."),
            click.option("--parent", "parent_agent_id", metavar="ID", help="The agent that it answers to."),
            click.option("--capability", "capabilities", multiple=True, metavar="NAME", help="What it can do; repeat."),
            click.option("--transport", type=TRANSPORTS, help="How work is handed to it."),
            click.option("--endpoint", help="Where it is reached."),
            click.option("--version", "version", help="Of its program."),
            click.option("--description", help="What it does, in a sentence or two."),
            click.option(
                "--heartbeat",
                "heartbeat_interval_seconds",
                type=FiniteRange(min=0, min_open=True),
                metavar="SECONDS",
                help="How often it means to say that it is alive.  [default: nobody watches it]",
            ),
            click.option(
                "--most",
                "assignments_max",
                type=click.IntRange(min=1),
                metavar="N",
                help="How many assignments it is given at once.  [default: as the node is set]",
            ),
            click.option("--metadata", metavar="JSON", help="What else there is to say of it: a JSON object."),
        ]
    ):
        command = option(command)
    return command


@agents.command()
@click.argument("agent_id", metavar="ID")
@particulars
@click.option("--again", is_flag=True, help="In the place of one that is there: what that one does is refused.")
@json_option
@node_option
def register(client: Client, agent_id: str, again: bool, as_json: bool, **told: Any) -> None:
    """Register the agent ID, and print its incarnation. Agents that are made with the kit do so by themselves.

    \b
    rookery agents register coder-7 --role coder --capability code.fix --capability code.review
    rookery agents register search --role service --transport rest --endpoint http://127.0.0.1:9000 --parent queen
    """
    asked = {**_given(told), "agent_id": agent_id, "again": again}
    found = client.post("/agents", msgspec.json.encode(asked))
    if as_json:
        show_json(found)
    else:
        click.echo(f"{agent_id} is registered, incarnation {found['incarnation']}")


@agents.command()
@click.argument("agent_id", metavar="ID")
@particulars
@json_option
@node_option
def update(client: Client, agent_id: str, as_json: bool, **told: Any) -> None:
    """Change what the options name of the agent ID, and leave the rest; an empty text takes away what was there.

    \b
    rookery agents update coder-7 --role reviewer --parent ''
    rookery agents update coder-7 --capability code.review
    """
    asked = _given(told)
    if not asked:
        raise click.UsageError("Say what is to change: `rookery agents update --help` lists what there is.")
    found = client.patch(_path(agent_id), msgspec.json.encode(asked))
    if as_json:
        show_json(found)
    else:
        click.echo(f"{agent_id} is changed")


@agents.command()
@click.argument("agent_id", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Why, for the record.")
@json_option
@node_option
def unregister(client: Client, agent_id: str, reason: str | None, as_json: bool) -> None:
    """Have the agent ID leave the colony: it commits nothing any more, and its history stays.

    \b
    rookery agents unregister coder-7 --reason 'replaced by coder-8'
    """
    found = client.delete(_path(agent_id), reason=reason)
    if as_json:
        show_json(found)
    else:
        click.echo(f"{agent_id} is unregistered")


@agents.command()
@click.argument("file", required=False, metavar="[FILE]", type=click.Path(path_type=Path, allow_dash=True))
@json_option
@node_option
def load(client: Client, file: Path | None, as_json: bool) -> None:
    """Declare the agents of a catalogue: who is meant to be in the colony. Loading it again changes nothing.

    Without FILE, that is the catalogue that is shipped: 57 agents of a swarm that works on code in many languages. A
    declared agent has given no sign of life; when it registers, what it leaves unsaid is taken from the catalogue.

    \b
    rookery agents load
    rookery agents load swarm.json
    rookery schemas show catalogue         the schema of such a file
    """
    payload = standard_input() if file == Path("-") else (file or CATALOGUE).read_bytes()
    found = client.post("/agents/catalogue", payload)
    if as_json:
        show_json(found)
    else:
        click.echo(
            f"{found['catalogue']}: {plural(found['agents'], 'agent')}, {found['declared']} declared, "
            f"{found['unchanged']} known already"
        )


@agents.command("import-card")
@click.argument("card", metavar="URL|FILE")
@click.option("--id", "agent_id", help="The id that the agent is to have.  [default: made of its name]")
@click.option("--parent", "parent_agent_id", metavar="ID", help="The agent that it answers to.")
@click.option("--again", is_flag=True, help="In the place of one that is there.")
@json_option
@node_option
def import_card(client: Client, card: str, as_json: bool, **told: Any) -> None:
    """Register an agent of elsewhere by its A2A card: the URL of the card or of its host, or a FILE, or - for input.

    The card is looked into first: its endpoint has to be on its own host, at a public address, and to answer as A2A
    says. Hosts that the node's setting card_hosts names are taken as they are.

    \b
    rookery agents import-card https://agents.example.com
    rookery agents import-card card.json --id painter
    """
    where = {"url": card} if "://" in card else {"card": msgspec.Raw(_read(card))}
    found = client.post("/agents/cards", msgspec.json.encode({**_given(told), **where}))
    if as_json:
        show_json(found)
    else:
        skills = plural(len(found["capabilities"]), "skill")
        click.echo(visible(f"{found['agent_id']} is registered: {found['name']}, {skills}"))


def _read(path: str) -> bytes:
    """A card that is a file; it travels within JSON, and so has to be that."""
    payload = standard_input() if path == "-" else Path(path).read_bytes()
    try:
        return msgspec.json.format(payload, indent=-1)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidData(f"not JSON: {error}", path) from None


def _path(agent_id: str) -> str:
    return f"/agents/{quote(agent_id, safe='')}"


def _pages(client: Client, path: str, limit: int | None, **asked: Any) -> Iterator[dict[str, Any]]:
    """The rows of as many pages as there are, or as `limit` needs."""
    left, cursor = limit, None
    while left is None or left > 0:
        page = client.get(path, limit=min(left or PAGE, PAGE), cursor=cursor, **asked)
        yield from page["agents"]
        left = None if left is None else left - len(page["agents"])
        if (cursor := page["next"]) is None:
            return


def _given(told: Mapping[str, Any]) -> dict[str, Any]:
    """What the options say; an empty text is null, and an empty capability none."""
    given = {name: value for name, value in told.items() if value not in (None, ())}
    if "metadata" in given:
        given["metadata"] = _object(given["metadata"])
    if "capabilities" in given:
        given["capabilities"] = [one for one in given["capabilities"] if one != NOTHING]
    return {name: None if value == NOTHING else value for name, value in given.items()}


def _object(text: str) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text else None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidData(f"not a JSON object: {error}", "metadata") from None


def _readable(row: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(row)
    if row.get("success_rate") is not None:
        found["success_rate"] = f"{row['success_rate']:.1%}"
    if row.get("capabilities"):
        found["capabilities"] = ", ".join(row["capabilities"])
    for name in ("mean_seconds", "median_seconds", "p95_seconds"):
        if row.get(name) is not None:
            found[name] = round(row[name], 3)
    return found


def _drawn(branch: Mapping[str, Any], head: str, indent: str) -> Iterator[str]:
    words = [branch["agent_id"], f"[{branch['state']}]"]
    words += [branch["role"]] if branch.get("role") else []
    words += ["(answers to itself)"] if branch.get("in_circle") else []
    yield head + visible(" ".join(words))
    children = branch.get("children", [])
    for place, child in enumerate(children, 1):
        is_last = place == len(children) and not branch.get("cut")
        yield from _drawn(child, f"{indent}{'└── ' if is_last else '├── '}", f"{indent}{'    ' if is_last else '│   '}")
    if branch.get("cut"):
        yield f"{indent}└── … {branch['cut']:,} more"
