"""`rookery doctor`: what is wrong, and what to do."""

from __future__ import annotations

import click
from click.core import ParameterSource

from ..client import Client
from ..doctor import Finding, examine
from ..settings import Settings
from .exits import EXIT_FAILED
from .options import json_option, node_of, node_option, setting_options
from .output import show_json
from .table import harmless

MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "problem": ("problem", "red")}


@click.command()
@setting_options("data")
@json_option
@node_option
def doctor(client: Client, data: str | None, as_json: bool) -> None:
    """Examine this machine, the data folder and the node; say what is wrong and what to do.

    Ends with exit code 1 if there is a problem.

    \b
    rookery doctor
    rookery doctor --data /srv/rookery
    rookery doctor --url http://127.0.0.1:8801 --json
    """
    settings, findings = Settings.load({"data": data}), []
    if data is not None and _is_default("client"):
        client = click.get_current_context().with_resource(Client(node_of(settings)))
    for finding in examine(settings, client):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        show_json(findings)
    if any(finding.verdict == "problem" for finding in findings):
        click.get_current_context().exit(EXIT_FAILED)


def _is_default(parameter: str) -> bool:
    return click.get_current_context().get_parameter_source(parameter) is ParameterSource.DEFAULT


def _show(finding: Finding) -> None:
    word, colour = MARKS[finding.verdict]
    click.echo(f"{click.style(f'{word:<8}', fg=colour)} {finding.name}: {harmless(finding.detail)}")
    if finding.advice and finding.verdict != "ok":
        click.echo(f"         {harmless(finding.advice)}")
