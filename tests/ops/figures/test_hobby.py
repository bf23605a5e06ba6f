"""The summary and the charts over HTTP, and as their documentation shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from fastapi.encoders import jsonable_encoder
from rookery.ops.api.shapes import schema_of
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.colony import AGENTS_SHOWN_MAX, MODELS_SHOWN_MAX, TOOLS_SHOWN_MAX
from rookery.ops.dashboard import Dashboard
from rookery.ops.summary import Summary

DOCUMENTATION = (Path(__file__).resolve().parents[3] / "docs" / "metrics.md").read_text()
JSON_BLOCKS = re.findall(r"^```json\n(.*?)^```", DOCUMENTATION, re.MULTILINE | re.DOTALL)
NDJSON_BLOCKS = re.findall(r"^```ndjson\n(.*?)^```", DOCUMENTATION, re.MULTILINE | re.DOTALL)
REQUESTS = re.findall(r"^    GET (\S+)$", DOCUMENTATION, re.MULTILINE)


@pytest.fixture(scope="module")
def http(node: NodeProcess) -> Iterator[httpx.Client]:
    """A client of a node that holds the events of the documentation."""
    with httpx.Client(base_url=node.node.url, timeout=60, trust_env=False) as http:
        (events,) = NDJSON_BLOCKS
        answer = http.post("/events", content=events, headers={"content-type": "application/x-ndjson"})
        assert answer.status_code == 202, answer.text
        yield http


@pytest.mark.parametrize("index", range(2))
def test_the_documentation_shows_what_the_node_answers(http: httpx.Client, index: int) -> None:
    shown = msgspec.json.decode(JSON_BLOCKS[index])
    answer = http.get(REQUESTS[index])
    assert answer.status_code == 200, answer.text
    assert_holds(answer.json(), shown)


def assert_holds(found: object, shown: object, where: str = "$") -> None:
    """Everything that is shown is there, at its place; documentation may leave things out."""
    if isinstance(shown, dict):
        assert isinstance(found, dict), where
        for name, value in shown.items():
            assert_holds(found[name], value, f"{where}.{name}")
    elif isinstance(shown, list):
        assert isinstance(found, list)
        assert len(found) == len(shown), where
        for index, value in enumerate(shown):
            assert_holds(found[index], value, f"{where}[{index}]")
    else:
        assert found == shown, where


@pytest.mark.parametrize(("path", "shape"), [("/hobby/metrics/summary", Summary), ("/hobby/dashboard", Dashboard)])
def test_answers_have_the_shape_that_openapi_shows(http: httpx.Client, path: str, shape: type) -> None:
    msgspec.convert(http.get(path).json(), shape)
    shown = http.get("/openapi.json").json()["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    assert shown["schema"] == jsonable_encoder(schema_of(shape), exclude_none=True)
    assert "$ref" not in str(shown["schema"])
    msgspec.convert(shown["example"], shape)


@pytest.mark.parametrize(
    "query",
    [
        "/hobby/metrics/summary?hours=0",
        "/hobby/metrics/summary?hours=100000",
        "/hobby/metrics/summary?days=-1",
        "/hobby/metrics/summary?top=1e9",
        "/hobby/metrics/summary?now=yesterday",
        "/hobby/metrics/summary?now=0001-01-01T00:00:00Z",
        "/hobby/dashboard?now=9999-12-31T23:59:59Z",
        "/hobby/dashboard?agents=1000",
        "/hobby/dashboard?hours=x",
    ],
)
def test_what_is_out_of_bounds_is_refused_with_the_parameters_name(http: httpx.Client, query: str) -> None:
    answer = http.get(query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    name = query.partition("?")[2].partition("=")[0]
    assert f"query.{name}" in answer.json()["detail"]


@pytest.mark.parametrize("now", ["2026-11-20T13:20:00%2B01:00", "2026-11-20T12:20:00", "2026-11-20T12:20:00Z"])
def test_times_are_utc_unless_they_say_otherwise(http: httpx.Client, now: str) -> None:
    answer = http.get(f"/hobby/dashboard?hours=1&now={now}").json()
    assert answer["now"] == "2026-11-20T12:20:00Z"


def test_the_documentation_names_every_metric_and_bound(http: httpx.Client) -> None:
    named = set(re.findall(r"`(rookery_\w+)`", DOCUMENTATION))
    text = http.get("/metrics").text
    typed = re.findall(r"^# TYPE (rookery_\w+) \w+$", text, re.MULTILINE)
    assert named == set(typed)
    for bound in (AGENTS_SHOWN_MAX, MODELS_SHOWN_MAX, TOOLS_SHOWN_MAX):
        assert f"{bound} " in DOCUMENTATION
