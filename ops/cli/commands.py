"""`rookery`: the commands, in the order in which a newcomer needs them."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from ... import __version__
from .exits import OutputClosed, exit_code_of


class Row(NamedTuple):
    """Where a command is defined, and what `rookery --help` says of it."""

    place: str
    summary: str


SECTIONS: dict[str, dict[str, Row]] = {
    "Run a node": {
        "demo": Row("demo:demo", "See what it does, on this folder, within a minute."),
        "up": Row("up:up", "Run a node, here or in the background."),
        "down": Row("up:down", "Stop it."),
        "status": Row("status:status", "What it holds, and what is behind."),
        "doctor": Row("doctor:doctor", "What is wrong, and what to do."),
        "topology": Row("topology:topology", "Write the configuration of buses in several places."),
    },
    "Give it events": {
        "publish": Row("publish:publish", "Publish one event."),
        "assign": Row("assign:assign", "Give work to an agent."),
        "assignments": Row("assignments:assignments", "The work that was given: list, show, retry, distribute."),
        "cancel": Row("assign:cancel", "Call work off."),
        "bridge": Row("bridge:bridge", "Let an agent take part that is no NATS client."),
        "watch": Row("watch:watch", "Give what is dropped into a folder; results land beside it."),
        "import": Row("importing:import_", "Import recorded work of agents."),
        "schemas": Row("schemas:schemas", "Show, export and check what events look like."),
    },
    "Ask it": {
        "agents": Row("agents:agents", "Who is in the colony; load a catalogue."),
        "query": Row("query:query", "Print a read model, or list them."),
        "sql": Row("query:sql", "Ask read models and log in SQL."),
        "why": Row("lineage:why", "List the events behind a row."),
        "diff": Row("lineage:diff", "What changed between two moments, and by which events."),
        "sparql": Row("sparql:sparql", "Ask the knowledge graph in SPARQL."),
        "graph": Row("graph:graph", "Look around in the knowledge graph."),
        "history": Row("history:history", "What was done hour by hour, day by day, month by month."),
        "proficiency": Row("proficiency:proficiency", "How good each agent is at what, and where the gaps are."),
        "tail": Row("tail:tail", "Follow the log."),
        "replay": Row("replay:replay", "Tell the log's events once more: to a file, a bus, a screen."),
        "prove": Row("prove:prove", "Prove that an event is in the log, or check a proof."),
        "reveal": Row("vault:reveal", "Read what is sealed, for as long as its keys exist."),
        "mcp": Row("mcp:mcp", "Let a model ask, and give work: an MCP server."),
        "dead-letters": Row("dead_letters:dead_letters", "What no read model holds, and what is parked; re-drive it."),
    },
    "Care for it": {
        "snapshot": Row("snapshot:snapshot", "Write the read models into a file for other programs."),
        "rebuild": Row("rebuild:rebuild", "Build the read models anew from the log, or check them."),
        "sync": Row("sync:sync", "Copy between this node and another what either lacks."),
        "bundle": Row("bundle:bundle", "The same by files, for nodes that never meet."),
        "verify": Row("verify:verify", "Hold every byte of the log against what was written."),
        "archive": Row("archive:archive", "Copy the log to cold storage, and trim what is old."),
        "backup": Row("archive:backup", "Copy all that can't be derived, while the node runs."),
        "restore": Row("archive:restore", "Make a data folder from an archive or a backup."),
        "forget": Row("vault:forget", "Make a person's data unreadable everywhere."),
        "vault": Row("vault:vault", "The keys of people, and taking them to another node."),
        "bench": Row("bench:bench", "Measure this machine."),
        "completion": Row("completion:completion", "Let your shell complete what you type."),
    },
}


class Commands(click.Group):
    """Loads a command's module only when it is called for, so that each starts quickly."""

    def list_commands(self, context: click.Context) -> list[str]:
        """The commands' names, in the order of the help."""
        return [name for rows in SECTIONS.values() for name in rows]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of that name."""
        row = next((rows[name] for rows in SECTIONS.values() if name in rows), None)
        if row is None:
            return None
        module, _, function = row.place.partition(":")
        command = getattr(import_module(f"..{module}", __name__), function)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called; a name that is not one gets the nearest as a hint."""
        name = arguments[0]
        if not name.startswith("-") and self.get_command(context, name) is None:
            nearest = get_close_matches(name, self.list_commands(context), n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else "`rookery --help` lists them."
            raise click.UsageError(f"There is no command {name!r}; {hint}", context)
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their summaries, by section."""
        width = max(map(len, self.list_commands(context)))
        for title, rows in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), row.summary) for name, row in rows.items()])

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so, from the table: a shell that waits has no time to load them all."""
        rows = {name: row for section in SECTIONS.values() for name, row in section.items()}
        found = [CompletionItem(name, help=row.summary) for name, row in rows.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, context, incomplete)

    def invoke(self, context: click.Context) -> object:
        """Call the command; tell click nothing of a closed pipe, which it would make an ordinary failure."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            raise OutputClosed from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(version)s")
@click.pass_context
def rookery(context: click.Context) -> None:
    """The system of record for colonies of AI agents.

    Start a node, give it something to record, and ask it. Every command has a --help with examples.

    \b
    rookery up --detach
    rookery publish run.started run-9 --data '{"task": "Review the diff"}'
    rookery query runs

    Exit codes: 0 done, 1 failed, 2 invalid input, 130 interrupted. Output is plain text; --json gives JSON, and
    NO_COLOR turns colours off.
    """
    if os.environ.get("NO_COLOR"):
        context.color = False


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return exit_code_of(partial(rookery, arguments, standalone_mode=False))


# What is there in the end goes with the process: to look through it for garbage took a node 0.3 s of processor time.
atexit.register(gc.freeze)
