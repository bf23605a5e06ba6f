"""docs/api.md: its code runs, its SQL answers, and it names every route that there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from rookery.ops.bench.node_process import NodeProcess, node_process

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "api.md").read_text()
PYTHON, SQL = (re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) for language in ("python", "sql"))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with node_process(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
def http(node: NodeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node.node.url, trust_env=False) as http:
        yield http


def test_the_client_of_a_few_lines_works(node: NodeProcess, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = PYTHON
    assert "http://127.0.0.1:8800" in program
    names: dict[str, Any] = {}
    exec(program.replace("http://127.0.0.1:8800", node.node.url), names)
    assert [run["run_id"] for run in names["runs"]] == ["run-9"]
    assert names["answer"] == [{"n": 1}]
    assert capsys.readouterr().out == "404 no read model is named 'run'; did you mean 'runs'?\n"


def test_the_panel_and_the_command_ask_what_the_snapshot_has(http: httpx.Client) -> None:
    (panel,) = SQL
    command = re.search(r'duckdb -readonly \S+ "(.*)"', PAGE)
    assert command
    path = http.post("/snapshot").json()["path"]
    with duckdb.connect(path, read_only=True) as con:
        for query in (panel, command[1]):
            con.execute(query).fetchall()


def test_every_route_is_at_a_glance(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    routes = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert set(re.findall(r"`((?:GET|POST|PATCH|DELETE) [^`]+)`", PAGE.partition("## ")[0])) == routes


def test_every_moment_in_the_table_is_one_or_lacks_nothing_but_its_events(http: httpx.Client) -> None:
    (table,) = re.findall(r"\| `as_of=` \|.*?\n\n", PAGE, re.DOTALL)
    rows = table.strip().splitlines()[2:]
    moments = [moment for row in rows for moment in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(moments) == 8
    for moment in moments:
        answer = http.get("/query/runs", params={"as_of": moment.replace(",west:7", "").replace("41", "1")})
        assert answer.status_code == 200, answer.text
        assert "rookery-as-of" in answer.headers


def test_the_formats_are_those_that_are_answered(http: httpx.Client) -> None:
    for name, media_type in re.findall(r"^\| `(\w+)` \| `([\w./+-]+)` \|", PAGE, re.MULTILINE):
        answer = http.get("/query/runs", params={"format": name})
        assert answer.headers["content-type"].partition(";")[0] == media_type
