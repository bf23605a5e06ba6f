"""The OpenAPI document: complete, and true of a running node whatever a client makes of it."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from rookery.ops.api import (
    a2a,
    agents,
    archive,
    assignments,
    dead_letters,
    events,
    graph,
    history,
    hobby,
    lineage,
    metrics,
    openapi,
    proficiency,
    proofs,
    queries,
    rebuilds,
    snapshot,
    state,
    subagents,
    subassignments,
    sync,
    vault,
    verify,
)
from rookery.ops.bench import workload
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.client import Client
from rookery.schemas import encode
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

REQUESTS = int(os.environ.get("ROOKERY_TEST_REQUESTS", "300"))
REQUEST_SECONDS_MAX = 60.0
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ENDLESS = {"follow"}  # an answer that never ends can't be looked at as a whole


@lru_cache
def document() -> dict[str, Any]:
    app = FastAPI(title="Rookery")
    for module in (
        a2a,
        agents,
        subagents,
        subassignments,
        archive,
        proofs,
        verify,
        state,
        events,
        dead_letters,
        assignments,
        queries,
        lineage,
        metrics,
        hobby,
        history,
        proficiency,
        graph,
        rebuilds,
        snapshot,
        sync,
        vault,
    ):
        app.include_router(module.router)
    return openapi.completed(app.openapi())


def operation(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = document()["paths"][path][method]
    return found


OPERATIONS = [(method, path) for path, methods in document()["paths"].items() for method in methods]
# Nothing can be wrong with a request that brings nothing.
BRINGING = [
    (method, path) for method, path in OPERATIONS if {"parameters", "requestBody"} & operation(method, path).keys()
]
CASES = [
    *[(*each, GenerationMode.POSITIVE) for each in OPERATIONS],
    *[(*each, GenerationMode.NEGATIVE) for each in BRINGING],
]
EXAMPLES = max(1, REQUESTS // (2 * len(BRINGING)))


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_a_route_is_described_with_examples_and_problems(method: str, path: str) -> None:
    told = operation(method, path)
    assert told["summary"]
    assert told["description"]
    for parameter in told.get("parameters", []):
        assert parameter["description"], parameter["name"]
        assert parameter["example"] is not None, parameter["name"]
    successes = [answer for status, answer in told["responses"].items() if status.startswith("2")]
    assert successes
    for answer in successes:
        binary = [name for name in answer["content"] if "vnd." in name]
        assert all("example" in one for name, one in answer["content"].items() if name not in binary)
    problems = {status: answer for status, answer in told["responses"].items() if status not in ("200", "201", "202")}
    assert "default" in problems
    assert all(
        "application/problem+json" in answer["content"] for status, answer in problems.items() if "health" not in path
    )
    if method == "post" and path in ("/events", "/sql", "/sparql", "/graph"):
        assert all(content["example"] for content in told["requestBody"]["content"].values())


def test_a_node_serves_this_document(client: Client) -> None:
    served = client.get("/openapi.json")
    assert served["paths"] == document()["paths"]
    assert served["components"] == document()["components"]


@pytest.fixture(scope="module")
def url(node: NodeProcess) -> str:
    with Client(node.node.url) as client:
        client.publish([encode(event) for event in workload.events(200)])
    return node.node.url


def schema() -> Any:
    pruned = {**document(), "paths": {}}
    for path, methods in document()["paths"].items():
        pruned["paths"][path] = {
            method: {**one, "parameters": [each for each in one.get("parameters", []) if each["name"] not in ENDLESS]}
            for method, one in methods.items()
        }
    return schemathesis.openapi.from_dict(pruned)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(max(120, REQUESTS))
@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_whatever_is_asked_is_answered_as_documented(url: str, method: str, path: str, mode: GenerationMode) -> None:
    asked = schema()[path][method]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=asked.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        response = case.call(base_url=url, timeout=REQUEST_SECONDS_MAX)
        case.validate_response(response, checks=CHECKS)

    ask()
