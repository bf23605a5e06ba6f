"""docs/howto/otlp.md: its program runs, its commands exist, and what it promises is what the code says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from rookery.handlers.importers import SOURCES
from rookery.handlers.otel import SPANS_MAX
from rookery.handlers.otel import conventions as named
from rookery.handlers.otel.values import TEXT_CHARS_MAX
from rookery.ops.api.otlp_forms import EXPORT_BYTES_MAX
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.client import Client

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "otlp.md").read_text()
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^rookery (\w+) ([\w-]+)(.*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with node_process(tmp_path_factory.mktemp("node")) as running:
        yield running


def test_the_program_s_spans_are_where_the_page_says(node: NodeProcess) -> None:
    pytest.importorskip("opentelemetry.sdk")
    assert "http://127.0.0.1:8800" in PROGRAM
    exec(PROGRAM.replace("http://127.0.0.1:8800", node.node.url), {})
    with Client(node.node.url) as client:
        client.publish([], wait="visible")
        models = [name for command, name, _ in COMMANDS if command == "query"]
        (run,), (cost,), (tool,) = (client.get(f"/query/{model}")["rows"] for model in models)
    assert (run["agent_id"], run["status"], run["llm_calls"], run["tool_calls"]) == ("coder-7", "completed", 1, 1)
    assert (cost["model"], cost["cost_usd"]) == ("gpt-4o", "0.0035")
    assert (tool["tool"], tool["agent_id"]) == ("grep", "coder-7")


def test_the_imports_are_there_with_their_options() -> None:
    imports = {name: shlex.split(rest) for command, name, rest in COMMANDS if command == "import"}
    assert imports.keys() == {"otlp", "langfuse", "openai-usage"}
    for name, words in imports.items():
        given = {word.removeprefix("--") for word in words if word.startswith("--")}
        assert given <= {option.name for option in SOURCES[name].options}


def test_every_kind_of_span_is_on_the_page() -> None:
    kinds = [*named.OPERATIONS, *named.OPENINFERENCE_KINDS, *named.OPENLLMETRY_KINDS]
    assert [kind for kind in kinds if f"`{kind}`" not in PAGE] == []


def test_the_bounds_are_those_of_the_code() -> None:
    assert f"{EXPORT_BYTES_MAX // 2**20} MiB" in PAGE
    assert f"{SPANS_MAX:,} spans" in PAGE
    assert f"{TEXT_CHARS_MAX:,} characters" in PAGE
