"""Query parameters: those that a route has, and a refusal in words of all others."""

from __future__ import annotations

import httpx
import pytest
from rookery.ops.bench.node_process import NodeProcess
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from .test_api import assert_problem

SELECT = b'{"sql": "select 1"}'
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/sparql?query=ASK%7B%7D&asOf=2026-01-01", ["'asOf'", "/sparql", "did you mean 'as_of'"]),
        ("/events?limits=3", ["'limits'", "did you mean 'limit'"]),
        ("/dead-letters?asof=start", ["did you mean 'as_of'"]),
        ("/query?as_of=start", ["/query, which has none"]),
        ("/query/runs/run-1?asof=start", ["as_of, wait_for"]),
        ("/query/runs/diff?from=start&until=now", ["'until'", "from, limit, to"]),
        ("/graph/stats?asof=start", ["did you mean 'as_of'"]),
        ("/hobby/metrics/summary?hour=3", ["did you mean 'hours'"]),
        ("/history?asof=start", ["did you mean 'as_of'"]),
        ("/status?verbose=1", ["'verbose'"]),
    ],
)
def test_a_parameter_that_a_route_does_not_have_is_refused(node: NodeProcess, path: str, words: list[str]) -> None:
    assert_problem(httpx.get(f"{node.node.url}{path}"), 422, *words)


def test_a_misspelt_moment_is_never_answered_with_the_present(node: NodeProcess) -> None:
    url = node.node.url
    assert_problem(httpx.post(f"{url}/sql?asof=2026-11-17", content=SELECT), 422, "'asof'", "did you mean 'as_of'")
    refused = httpx.post(f"{url}/sparql", content="query=ASK%7B%7D&asof=2026-01-01", headers=FORM)
    assert_problem(refused, 422, "'asof'", "did you mean 'as_of'")


def test_a_websocket_with_a_parameter_that_is_none_is_refused(node: NodeProcess) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(f"ws{node.node.url[4:]}/events?typo=run.*"):
        pass
    assert refused.value.response.status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/sparql?query=ASK%7B%7D&default-graph-uri=urn:x:g&format=json&output=json&results=json",
        "/metrics?module=x",
        "/hobby/metrics/prometheus?module=x",
        "/health?probe=1",
        "/history/compare?from=2026-01-01&as_of=now",
        "/events?type=run.*&type=llm_call.*&last=1",
    ],
)
def test_what_protocols_and_scrapers_add_does_no_harm(node: NodeProcess, path: str) -> None:
    answer = httpx.get(f"{node.node.url}{path}")
    assert answer.status_code == 200, answer.text
