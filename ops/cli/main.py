"""`rookery`: the command group, its common options, and how errors become exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from ... import __version__
from ...schemas import InvalidInput, RookeryError

EXIT_FAILED = 1
EXIT_INVALID = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

COMMANDS = {
    "bench": "bench:bench",
    "dead-letters": "maintenance:dead_letters",
    "doctor": "doctor:doctor",
    "down": "up:down",
    "import": "importing:import_",
    "publish": "publish:publish",
    "query": "query:query",
    "rebuild": "maintenance:rebuild",
    "sql": "query:sql",
    "status": "status:status",
    "tail": "tail:tail",
    "up": "up:up",
}


class Commands(click.Group):
    """Loads a command's module only when it is called for, so that each starts quickly."""

    def list_commands(self, context: click.Context) -> list[str]:
        """The commands' names, in alphabetical order."""
        return sorted(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of that name."""
        if name not in COMMANDS:
            return None
        module, _, function = COMMANDS[name].partition(":")
        command = getattr(import_module(f"..{module}", __name__), function)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def rookery() -> None:
    """The system of record for colonies of AI agents.

    Start a node with `rookery up`, give it something to record with `rookery import` or `rookery publish`, and ask it
    with `rookery query` and `rookery sql`. Every command has a --help with examples.

    Exit codes: 0 done, 1 failed, 2 invalid input.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        code = rookery(arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_BROKEN_PIPE
    except RookeryError as error:
        click.echo(f"error: {error}", err=True)
        return EXIT_INVALID if isinstance(error, InvalidInput) else EXIT_FAILED
    return code if isinstance(code, int) else 0
