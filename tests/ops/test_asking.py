"""`rookery query` and `rookery sql`: conditions, files, and the pager."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click
import polars
import pytest
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.cli.query import parameter_of
from rookery.ops.client import Client
from rookery.schemas import Event, RunStarted, encode

from .conftest import Rookery
from .test_output import COMMAND, on_a_terminal


@pytest.mark.parametrize(
    ("condition", "parameter", "value"),
    [
        ("cost_usd>1", "cost_usd.gt", "1"),
        ("cost_usd >= 0.5", "cost_usd.ge", "0.5"),
        ("status=failed", "status.eq", "failed"),
        ("task = a = b < c", "task.eq", "a = b < c"),
        ("status!=running", "status.ne", "running"),
        ("steps<-3", "steps.lt", "-3"),
        ("steps<=3", "steps.le", "3"),
        ("run_id in r-1,r-2", "run_id.in", "r-1,r-2"),
        ("task LIKE %diff%", "task.like", "%diff%"),
        ("error is null", "error.null", "true"),
        ("error IS NOT NULL", "error.null", "false"),
        ("task=", "task.eq", ""),
    ],
)
def test_a_condition_is_written_as_in_sql(condition: str, parameter: str, value: str) -> None:
    assert parameter_of(condition) == (parameter, value)


@pytest.mark.parametrize("condition", ["", "status", ">1", "a b", "status is failed", "run_id inside r"])
def test_what_is_no_condition_is_told_how_one_looks(condition: str) -> None:
    with pytest.raises(click.BadParameter, match="cost_usd>1"):
        parameter_of(condition)


@pytest.fixture(scope="module", autouse=True)
def _runs(node: NodeProcess) -> None:
    runs = [(f"r-{number:02}", RunStarted(task=f"t-{number % 2}")) for number in range(40)]
    facts = [Event.of(run, subject=subject, source="/agents/a") for subject, run in runs]
    with Client(node.node.url) as client:
        client.publish([encode(fact) for fact in facts])


def test_rows_are_filtered_selected_sorted_and_limited(rookery: Rookery) -> None:
    asked = ("query", "runs", "--where", "task=t-1", "--where", "run_id<r-10", "--select", "run_id,task")
    assert [row["run_id"] for row in rookery(*asked, "--sort=-run_id", "--limit=2", "--json").json] == ["r-09", "r-07"]
    assert rookery(*asked, "--csv").out.splitlines()[:2] == ["run_id,task", "r-01,t-1"]


def test_a_column_that_is_not_there_is_invalid_input(rookery: Rookery) -> None:
    refused = rookery("query", "runs", "--where", "taks=t-1")
    assert (refused.code, refused.out) == (2, "")
    assert "did you mean 'task'?" in refused.err


@pytest.mark.parametrize("asked", [("query", "runs"), ("sql", "from runs")])
def test_arrow_goes_to_a_file(rookery: Rookery, tmp_path: Path, asked: tuple[str, ...]) -> None:
    path = tmp_path / "runs.arrow"
    done = rookery(*asked, "--arrow", path)
    assert (done.code, done.out) == (0, "")
    assert str(path) in done.err
    assert polars.read_ipc_stream(path.read_bytes()).height == 40
    assert "choose one" in rookery(*asked, "--arrow", path, "--json").err


def test_arrow_goes_to_standard_output_where_it_is_asked_to(node: NodeProcess) -> None:
    command = [*COMMAND, "query", "runs", "--arrow", "-", "--url", node.node.url]
    done = subprocess.run(command, capture_output=True, check=True)
    assert polars.read_ipc_stream(done.stdout).height == 40


def test_only_a_table_that_is_longer_than_the_screen_goes_through_the_pager(node: NodeProcess) -> None:
    url = node.node.url
    pager = "sed s/^/paged:/"
    assert "paged:" in on_a_terminal("query", "runs", columns=80, url=url, PAGER=pager)
    assert "paged:" not in on_a_terminal("query", "runs", "--limit=3", columns=80, url=url, PAGER=pager)


def test_nothing_is_paged_into_a_pipe(rookery: Rookery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "false")
    assert len(rookery("query", "runs").out.splitlines()) == 41
