"""Options that several commands share, and standard input."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from ..client import Client
from ..data_folder import DataFolder
from ..settings import Settings, described

Command = TypeVar("Command", bound=Callable[..., Any])


class FiniteRange(click.FloatRange):
    """A number within bounds. `nan` is within any, and JSON has neither it nor `inf`: they would be sent as none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or a failure that says what it is not."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


def json_option(command: Command) -> Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


def csv_option(command: Command) -> Command:
    """`--csv`."""
    return click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")(command)


def arrow_option(command: Command) -> Command:
    """`--arrow`."""
    kind = click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path)
    text = "Write an Arrow IPC stream to FILE instead, as pandas and polars read it; - is standard output."
    return click.option("--arrow", metavar="FILE", type=kind, help=text)(command)


def reveal_option(command: Command) -> Command:
    """`--reveal`."""
    text = "Show what is sealed as it was said; [forgotten] where that can't be any more."
    return click.option("--reveal", is_flag=True, help=text)(command)


def as_of_option(command: Command) -> Command:
    """`--as-of`."""
    text = "Answer as a node that had stopped then: a time, '3 days ago', or how far the log had come, as in local:41."
    return click.option("--as-of", "as_of", metavar="MOMENT", help=text)(command)


def setting_options(*names: str) -> Callable[[Command], Command]:
    """An option for each of these settings, explained as they are. Its text is judged by `Settings.load`."""

    def add(command: Command) -> Command:
        for setting in reversed([one for one in described() if one.name in names]):
            default = f"; default: {setting.default}" if setting.default else ""
            text = f"{setting.description}  [env var: {setting.variable}{default}]"
            command = click.option(setting.option, metavar=setting.metavar, help=text)(command)
        return command

    return add


def node_option(command: Command) -> Command:
    """`--url`, which gives the command a `client`."""
    return click.option(
        "--url",
        "client",
        envvar="ROOKERY_URL",
        show_envvar=True,
        callback=_connect,
        help="The node to ask.  [default: the one that runs on this folder's rookery-data, else "
        "http://127.0.0.1:8800, or what rookery.toml and ROOKERY_… say instead]",
    )(command)


def node_of(settings: Settings) -> str:
    """The URL of the node that runs on these settings' data folder, or would."""
    node = DataFolder(settings.data).running()
    return node.url if node else settings.url


def standard_input() -> bytes:
    """All of it."""
    return sys.stdin.buffer.read()


def _connect(context: click.Context, parameter: click.Parameter, given: str | None) -> Client:
    return context.with_resource(Client(_url(given) if given else node_of(Settings.load())))


def _url(given: str) -> str:
    """A node's URL as a person writes it: the scheme may be missing."""
    url = given if "://" in given else f"http://{given}"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise click.BadParameter(
            f"{given!r} is not a node's URL; one looks like http://127.0.0.1:8800.", param_hint="--url (ROOKERY_URL)"
        )
    return url
