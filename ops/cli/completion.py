"""`rookery completion`: what a shell needs to complete commands, options and the names of read models."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

from ...schemas import RookeryError
from ..client import Client

PROGRAM = "rookery"
VARIABLE = "_ROOKERY_COMPLETE"  # click's: a shell asks for completions by setting it
ANSWER_SECONDS_MAX = 1.0
SHELLS = ["bash", "zsh", "fish"]


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete commands, options and, while a node runs, names of read models.

    \b
    eval "$(rookery completion bash)"      in ~/.bashrc
    eval "$(rookery completion zsh)"       in ~/.zshrc, behind compinit
    rookery completion fish > ~/.config/fish/completions/rookery.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())


def read_models(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The read models whose names begin so; none where no node answers at once, because nobody could be told."""
    asked = context.params.get("client")
    if not isinstance(asked, Client):
        return []
    try:
        with Client(asked.url, timeout_seconds=ANSWER_SECONDS_MAX) as client:
            models = client.get("/query")
        found = [(str(model["name"]), str(model["description"])) for model in models]
    except (RookeryError, LookupError, TypeError):
        return []
    return [CompletionItem(name, help=text.partition("\n")[0]) for name, text in found if name.startswith(incomplete)]
