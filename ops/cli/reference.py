"""`python -m rookery.ops.cli.reference docs`: brings the pages that are written from the code up to date."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ... import __version__
from ...schemas import InvalidInput
from ...schemas.export import export
from ...schemas.reference import event_reference
from .commands import SECTIONS, rookery

MARK = "<!-- From here on, "
_NO_EXAMPLES = "\b"


def command_reference() -> str:
    """Every command, in the order of `rookery --help`, as Markdown."""
    return "\n".join(part for title, rows in SECTIONS.items() for part in (f"## {title}\n", *_sections(list(rows))))


def pages(docs: Path) -> dict[Path, str]:
    """What the pages that are partly written from the code should be. Raises `InvalidInput` where one isn't there."""
    written = {"events.md": event_reference(), "cli.md": command_reference()}
    return {docs / name: _prose_of(docs / name) + text for name, text in written.items()}


def refresh(docs: Path) -> list[str]:
    """Write the published schemas and the pages anew where they are not up to date, and say which were."""
    stale = {path: text for path, text in pages(docs).items() if path.read_text(encoding="utf-8") != text}
    exported = export(docs / "schemas", __version__)
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
    return [*(f"schemas/{name}" for name in exported), *(path.name for path in stale)]


def _prose_of(page: Path) -> str:
    """What people wrote: all down to the line that says where the rest comes from."""
    prose, mark, rest = page.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise InvalidInput(
            f"{page}: the line that begins with {MARK!r} is missing; what comes after it is written here"
        )
    return f"{prose}{mark}{rest.partition(chr(10))[0]}\n\n"


def _sections(names: list[str]) -> Iterator[str]:
    overview = click.Context(rookery, info_name="rookery")
    for name in names:
        command = rookery.get_command(overview, name)
        assert command is not None
        yield from _section(command, click.Context(command, info_name=name, parent=overview), "###")


def _section(command: click.Command, context: click.Context, level: str) -> Iterator[str]:
    """A command, and those beneath it."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"{level} {context.command_path}\n\n```text\n{usage}\n```\n"
    yield from _explained(inspect.cleandoc(command.help or ""))
    records = [record for one in command.params if (record := one.get_help_record(context))]
    rows = [f"| `{option}` | {_cell(text)} |" for option, text in records]
    if rows:
        yield "\n".join(["| option | what it does |", "|---|---|", *rows]) + "\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _section(inner, click.Context(inner, info_name=name, parent=context), level + "#")


def _explained(text: str) -> Iterator[str]:
    """A command's help: paragraphs, and examples, which click marks as not to be wrapped."""
    for paragraph in text.split("\n\n"):
        head, _, rest = paragraph.partition("\n")
        yield f"```console\n{rest}\n```\n" if head == _NO_EXAMPLES else f"{paragraph}\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    try:
        print(*refresh(Path(sys.argv[1])) or ["up to date"], sep="\n")
    except Exception as error:
        sys.exit(f"error: {error}")
