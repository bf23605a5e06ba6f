"""docs/howto/agents.md: its code runs, its tests pass, and its tables say what there is."""

from __future__ import annotations

import inspect
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from rookery import Agent, Task
from rookery.bus import NatsBus
from rookery.handlers.agent import attempt
from rookery.ops.nats_server import NatsServer

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "agents.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def page() -> dict[str, Any]:
    """What all the code of the page defines, one block after the other."""
    names: dict[str, Any] = {"__name__": "agents"}
    for block in BLOCKS:
        exec(compile(block, "agents.md", "exec"), names)
    return names


async def test_the_pages_own_tests_pass(page: dict[str, Any]) -> None:
    tests = [name for name in page if name.startswith("test_")]
    assert len(tests) == 3
    for name in tests:
        await page[name]()


async def test_agents_at_work_answer_a_program(
    page: dict[str, Any], nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.py").write_text("print(1)\nprint(undefined)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert await page["both"](nats_server.url) == {"lines": 2, "findings": 1}
    async with await NatsBus.connect(nats_server.url) as bus, page["agent"].serving(bus):
        assert await page["main"](nats_server.url) == {"lines": 2}


def test_every_option_and_its_default_is_in_the_table() -> None:
    table = PAGE.partition("## Bounds")[2].partition("\n## ")[0]
    for option in inspect.signature(Agent).parameters.values():
        if option.kind != option.KEYWORD_ONLY:
            continue
        assert f"`{option.name}`" in table
        if isinstance(option.default, int | float) and not isinstance(option.default, bool):
            assert f"| `{option.name}` | {option.default:g} |" in table


def test_everything_that_a_task_can_do_is_in_the_tables() -> None:
    table = PAGE.partition("## What a task has")[2].partition("\n## ")[0]
    names = (*vars(Task), "id", "kind", "input", "attempt", "deadline", "over")
    public = {name for name in names if not name.startswith("_")}
    assert set(re.findall(r"task\.(\w+)", table)) == public - {"agent_id"}


def test_the_bound_on_results_is_what_the_page_says() -> None:
    assert f"{attempt.RESULT_BYTES_MAX // 1024} KiB" in PAGE
