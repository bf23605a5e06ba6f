"""docs/howto/reactions.md and CONTRIBUTING.md's context: their code does what they say, their tables are complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
from rookery.handlers import alerts
from rookery.handlers.fleet import alarms
from rookery.handlers.reactions import Reactions
from rookery.ops.cli.dead_letters import dead_letters
from rookery.schemas import RunFailed

from .handlers.reactions.conftest import World
from .handlers.reactions.test_runner_properties import settle

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "howto" / "reactions.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def defined(page: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(compile(block, "page", "exec"), names)
    return names


def test_the_context_of_the_recipe_passes_its_own_test() -> None:
    defined(CONTRIBUTING)["test_the_same_is_noted_once"]()


async def test_the_page_s_reaction_pages_once_is_parked_and_redriven(tmp_path: Path) -> None:
    page = defined(PAGE)
    reactions: Reactions = page["REACTIONS"]
    world = World(tmp_path, lambda: [reactions])
    runner = await world.start()
    await world.happen(RunFailed(error="no tests"), "r1")
    await world.act()
    page["PAGER"].works = False
    await world.happen(RunFailed(error="no tests"), "r2")
    await world.act()
    assert len(runner.parked()) == 1
    page["PAGER"].works = True
    await settle(world, "redrive")
    await world.act()
    assert list(page["PAGER"].paged.values()) == ["r1 failed: no tests", "r2 failed: no tests"]
    assert len(world.told("insight.recorded")) == 2
    assert {event.payload().reaction for event in world.told("reaction.completed")} == {"pages.page_owner"}  # type: ignore[attr-defined]
    assert runner.parked() == []
    await world.close()


def test_the_page_s_commands_can_be_parsed() -> None:
    shown = re.findall(r"^\$ rookery dead-letters (.*)$", PAGE, re.MULTILINE)
    assert len(shown) == 4
    for line in shown:
        name, *arguments = re.findall(r"'[^']*'|\S+", line)
        command = dead_letters.get_command(click.Context(dead_letters), name)
        assert command is not None
        command.make_context(name, [*arguments, "--url", "http://127.0.0.1:1"])


def test_every_alert_is_in_the_table() -> None:
    sources = "".join(Path(module.__file__).read_text() for module in (alerts, alarms))
    told = set(re.findall(r'(?:_raised\(\s*cause, |kind=)"(\w+)"', sources))
    assert told == set(re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Alerts")[2], re.MULTILINE))
