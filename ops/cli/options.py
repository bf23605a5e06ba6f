"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..client import Client
from ..data_folder import DataFolder
from ..settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


def node_option(command: Command) -> Command:
    """`--url`, which gives the command a `client`."""
    return click.option(
        "--url",
        "client",
        envvar="ROOKERY_URL",
        show_envvar=True,
        callback=_connect,
        help="The node to ask.  [default: the one that runs on the data folder, else http://127.0.0.1:8800]",
    )(command)


def _connect(context: click.Context, parameter: click.Parameter, url: str | None) -> Client:
    return context.with_resource(Client(url or _nearest_node()))


def _nearest_node() -> str:
    settings = Settings.load()
    node = DataFolder(settings.data).running()
    return node.url if node else settings.url
