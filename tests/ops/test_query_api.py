"""Asking over HTTP: formats, pages, tags, waiting, and what happens to the query of a client that leaves."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx
import polars
import pyarrow.ipc
import pyarrow.parquet
import pytest
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.client import Client
from rookery.ops.lanes import QUERIES_AT_ONCE_MAX
from rookery.schemas import Event, LlmCallCompleted, RunStarted, encode

from .test_api import SLOW, assert_problem

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
COSTS = ["0.0034375", "12345.678901", "100", None]
TASK = 'say "hi",\r\nünd 日本 🦜'


@pytest.fixture(scope="module")
def told(node: NodeProcess) -> NodeProcess:
    """A node with four calls, each of a run of its own."""
    facts: list[tuple[str, Any]] = []
    for number, cost in enumerate(COSTS):
        run = f"run-{number}"
        facts += [(run, RunStarted(task=TASK if number else None))]
        facts += [(f"c-{number}", LlmCallCompleted(provider="p", request_model="m", run_id=run, cost_usd=cost))]
    with Client(node.node.url) as client:
        client.publish([encode(Event.of(fact, subject=subject, source="/agents/a")) for subject, fact in facts])
    return node


@pytest.fixture
def http(told: NodeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=told.node.url, timeout=60, trust_env=False) as http:
        yield http


def costs(http: httpx.Client, path: str, **options: Any) -> httpx.Response:
    """run_id, cost_usd and task of every run, by a read model's name or in SQL."""
    if path == "/sql":
        statement = {"sql": "select run_id, cost_usd, task from runs order by run_id -- all;"}
        answer = http.post("/sql", json=statement, **options)
    else:
        selected = {"select": "run_id,cost_usd,task", "sort": "run_id", **options.pop("params", {})}
        answer = http.get("/query/runs", params=selected, **options)
    assert answer.status_code == 200, answer.text
    return answer


EXACT = [None if cost is None else Decimal(cost) for cost in COSTS]
TASKS = [None, TASK, TASK, TASK]
BOTH = pytest.mark.parametrize("path", ["/query", "/sql"])


@BOTH
def test_json_is_what_comes_unasked(http: httpx.Client, path: str) -> None:
    answer = costs(http, path)
    assert answer.headers["content-type"] == "application/json"
    assert [row["cost_usd"] for row in answer.json()["rows"]] == COSTS


@BOTH
def test_ndjson_is_an_object_a_line(http: httpx.Client, path: str) -> None:
    answer = costs(http, path, headers={"accept": "application/x-ndjson"})
    rows = [json.loads(line) for line in answer.content.splitlines()]
    assert [(row["cost_usd"], row["task"]) for row in rows] == list(zip(COSTS, TASKS, strict=True))


@BOTH
def test_csv_is_read_back_by_the_csv_module(http: httpx.Client, path: str) -> None:
    answer = costs(http, path, headers={"accept": "text/html, text/csv;q=0.9, */*;q=0.1"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    head, *rows = csv.reader(io.StringIO(answer.text, newline=""), strict=True)
    assert head == ["run_id", "cost_usd", "task"]
    assert [(cost, task) for _, cost, task in rows] == [(c or "", t or "") for c, t in zip(COSTS, TASKS, strict=True)]


@BOTH
def test_arrow_is_read_back_by_pyarrow_and_polars(http: httpx.Client, path: str) -> None:
    answer = costs(http, path, headers={"accept": ARROW})
    assert answer.headers["content-type"] == ARROW
    table = pyarrow.ipc.open_stream(answer.content).read_all()
    assert pyarrow.types.is_decimal(table.schema.field("cost_usd").type)
    assert table["cost_usd"].to_pylist() == EXACT
    frame = polars.read_ipc_stream(answer.content)
    assert (frame["cost_usd"].to_list(), frame["task"].to_list()) == (EXACT, TASKS)


@BOTH
def test_parquet_is_read_back_by_pyarrow_and_polars(http: httpx.Client, path: str) -> None:
    answer = costs(http, path, params={"format": "parquet"}, headers={"accept": "application/json"})
    assert answer.headers["content-type"] == PARQUET
    table = pyarrow.parquet.read_table(io.BytesIO(answer.content))
    assert pyarrow.types.is_decimal(table.schema.field("cost_usd").type)
    assert table["cost_usd"].to_pylist() == EXACT
    frame = polars.read_parquet(answer.content)
    assert (frame["cost_usd"].to_list(), frame["task"].to_list()) == (EXACT, TASKS)


ODD = (
    "select 1 as a, 2 as a, 170141183460469231731687303715884105::hugeint as wide, [1::hugeint] as wides, "
    "'x'::enum('x', 'y') as kind, interval 90 minute as pause, '{\"a\": 1}'::json as doc, null as nothing, "
    "'00000000-0000-0000-0000-000000000001'::uuid as id, {'k': 1.50} as parts, true as yes, 'b'::blob as raw, "
    "timestamp '2026-11-20 12:00:00' as at, map {'k': 1} as pairs, date '2026-11-20' as day, '1'::bit as bits"
)


@pytest.mark.parametrize("format", ["arrow", "parquet"])
@pytest.mark.parametrize("none", [False, True])
def test_every_type_has_its_place_in_arrow_and_parquet(http: httpx.Client, format: str, none: bool) -> None:
    answer = http.post("/sql", params={"format": format}, json={"sql": ODD + (" where false" if none else "")})
    assert answer.status_code == 200, answer.text
    frame = polars.read_ipc_stream(answer.content) if format == "arrow" else polars.read_parquet(answer.content)
    assert frame.columns[:3] == ["a", "a_1", "wide"]
    if none:
        assert frame.height == 0
        return
    (row,) = frame.to_dicts()
    assert (row["wide"], row["wides"]) == (Decimal(170141183460469231731687303715884105), [Decimal(1)])
    assert (row["kind"], row["pause"], row["nothing"], row["parts"]) == ("x", 5400.0, None, {"k": Decimal("1.50")})


@pytest.mark.parametrize("format", ["json", "ndjson", "csv", "arrow", "parquet"])
def test_every_format_leads_from_page_to_page(http: httpx.Client, format: str) -> None:
    asked = {"select": "run_id", "sort": "-run_id", "limit": "3", "format": format, "run_id.like": "run-_"}
    answer = http.get("/query/runs", params=asked)
    assert answer.headers["rookery-truncated"] == "true"
    following = http.get(answer.links["next"]["url"])
    assert "next" not in following.links
    assert following.headers["rookery-truncated"] == "false"
    assert "run-0" in following.text if format in ("json", "ndjson", "csv") else following.content
    if format == "json":
        assert [row["run_id"] for row in answer.json()["rows"]] == ["run-3", "run-2", "run-1"]
        assert (following.json()["rows"], following.json()["next"]) == ([{"run_id": "run-0"}], None)


@BOTH
@pytest.mark.parametrize("how", [{"params": {"format": "xml"}}, {"headers": {"accept": "text/html, text/csv;q=0"}}])
def test_a_format_that_is_not_offered_is_told_which_are(http: httpx.Client, path: str, how: Any) -> None:
    method, url = ("POST", path) if path == "/sql" else ("GET", "/query/runs")
    assert_problem(http.request(method, url, **how), 406, "text/csv (format=csv)", ARROW)


def test_filters_choose_rows(http: httpx.Client) -> None:
    asked = {"cost_usd.gt": "0.0034375", "run_id.in": "run-0,run-1,run-2", "select": "run_id", "sort": "-cost_usd"}
    assert http.get("/query/runs", params=asked).json()["rows"] == [{"run_id": "run-1"}, {"run_id": "run-2"}]
    assert len(http.get("/query/runs?cost_usd.null=true").json()["rows"]) == 1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("cost_usdd.gt=1", ["cost_usdd", "did you mean 'cost_usd'?"]),
        ("cost_usd.gt=cheap", ["cost_usd", "DECIMAL", "'cheap'"]),
        ("started_at.ge=2026-01-01T00:00:00+01:00", ["TIMESTAMP", "%2B"]),
        ("cost_usd.above=1", ["'above'", "gt"]),
        ("cursor=nonsense", ["cursor", "`next`"]),
        ("sort=-", ["sort"]),
        ("limit=-1", ["limit"]),
        ("wait_for=local", ["local:41"]),
        ("wait_for=nowhere:1", ["'nowhere'", "local"]),
        ("wait_for=local:999999999", ["ends at"]),
        ("wait_for=local:%D9%A4", ["local:41"]),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_with_a_way_out(
    http: httpx.Client, query: str, words: list[str]
) -> None:
    assert_problem(http.get(f"/query/runs?{query}"), 422, *words)


def test_bytes_that_are_no_text_ask_for_nothing(told: NodeProcess) -> None:
    refused = httpx.get(f"{told.node.url}/query/runs?run_id=%ff")
    assert refused.status_code == 422
    assert "UTF-8" in refused.json()["detail"]


def test_an_oversized_url_is_refused(told: NodeProcess) -> None:
    url = urlsplit(told.node.url)
    with closing(HTTPConnection(str(url.hostname), url.port, timeout=60)) as connection:
        connection.request("GET", f"/query/runs?task={'x' * 200_000}")
        assert 400 <= connection.getresponse().status < 500


def test_an_answer_is_not_sent_twice_until_the_log_has_grown(http: httpx.Client) -> None:
    first = http.get("/query/runs", params={"limit": 1})
    tag = {"if-none-match": f'"other", W/{first.headers["etag"]}'}
    again = http.get("/query/runs", params={"limit": 1}, headers=tag)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    for other in ({"limit": 2}, {"limit": 1, "format": "csv"}):
        assert http.get("/query/runs", params=other, headers=tag).status_code == 200
    http.post("/events", content=encode(Event.of(RunStarted(), subject="later", source="/agents/a")))
    assert http.get("/query/runs", params={"limit": 1}, headers=tag).status_code == 200


@BOTH
def test_one_reads_what_one_wrote(http: httpx.Client, path: str) -> None:
    for number in range(10):
        name = f"written-{path[1:]}-{number}"
        event = encode(Event.of(RunStarted(), subject=name, source="/agents/a"))
        http.post("/events", params={"wait": "logged"}, content=event)
        (line,) = http.get("/events", params={"entity": f"run/{name}"}).text.splitlines()
        address = {"wait_for": f"local:{json.loads(line)['n']}"}
        if path == "/sql":
            statement = {"sql": "select run_id from runs where run_id = ?", "parameters": [name]}
            answer = http.post("/sql", params=address, json=statement)
        else:
            answer = http.get("/query/runs", params={"run_id": name, "select": "run_id", **address})
        assert answer.json()["rows"] == [{"run_id": name}]


def test_queries_whose_clients_leave_make_room_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ROOKERY_QUERY_SECONDS_MAX", "600")  # longer than the test may take
        with node_process(tmp_path_factory.mktemp("patient")) as running:
            url = urlsplit(running.node.url)
            with ThreadPoolExecutor(QUERIES_AT_ONCE_MAX) as threads:
                list(threads.map(lambda _: _ask_and_leave(url.geturl()), range(QUERIES_AT_ONCE_MAX)))
            with httpx.Client(base_url=running.node.url, timeout=100, trust_env=False) as http:
                assert http.post("/sql", json={"sql": "select 1 as one"}).json()["rows"] == [{"one": 1}]


def _ask_and_leave(url: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/sql", json=SLOW, timeout=httpx.Timeout(30, read=1), trust_env=False)


def test_a_value_that_nests_too_deeply_fails_its_query_and_nothing_else(http: httpx.Client) -> None:
    nested = "[" * 400 + "]" * 400
    answer = http.post("/sql", content=f'{{"sql": "select ? as v", "parameters": [{nested}]}}')
    assert_problem(answer, 400, "nests too deeply")
