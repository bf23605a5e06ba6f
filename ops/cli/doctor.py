"""`rookery doctor`: what is wrong, and what to do."""

from __future__ import annotations

from pathlib import Path

import click

from ..client import Client
from ..doctor import Finding, examine
from ..settings import Settings
from .main import EXIT_FAILED
from .options import json_option, node_option
from .output import show_json

MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "problem": ("problem", "red")}


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="The data folder.  [default: rookery-data]")
@json_option
@node_option
def doctor(client: Client, data: Path | None, as_json: bool) -> None:
    """Examine this machine, the data folder and the node; say what is wrong and what to do.

    Ends with exit code 1 if there is a problem.
    """
    findings = []
    for finding in examine(Settings.load({"data": data}), client):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        show_json(findings)
    if any(finding.verdict == "problem" for finding in findings):
        click.get_current_context().exit(EXIT_FAILED)


def _show(finding: Finding) -> None:
    word, colour = MARKS[finding.verdict]
    click.echo(f"{click.style(f'{word:<8}', fg=colour)} {finding.name}: {finding.detail}")
    if finding.advice and finding.verdict != "ok":
        click.echo(f"         {finding.advice}")
