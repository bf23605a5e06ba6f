"""OTLP over HTTP: a node takes what OpenTelemetry's own exporters send, and answers as they expect."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from genai_prices import Usage, calc_price
from rookery.bus import BusUnavailable
from rookery.handlers.otel import TooManySpans
from rookery.ops.api.otlp import STATUSES
from rookery.ops.api.otlp_forms import EXPORT_BYTES_MAX, PROTOBUF
from rookery.ops.api.problems import status_of
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.client import Client
from rookery.ops.disk import DiskFull
from rookery.ops.lanes import TooBusy
from rookery.schemas import RookeryError

pytest.importorskip("opentelemetry.sdk")
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

BINARY = {"content-type": "application/x-protobuf"}
TEXT = {"content-type": "application/json"}

Post = Callable[..., httpx.Response]


def rows(client: Client, model: str) -> list[dict[str, Any]]:
    found = client.get(f"/query/{model}")["rows"]
    assert isinstance(found, list)
    return found


@pytest.fixture
def post(node: NodeProcess) -> Post:
    def post(body: bytes, headers: dict[str, str]) -> httpx.Response:
        return httpx.post(f"{node.node.url}/v1/traces", content=body, headers=headers, timeout=60, trust_env=False)

    return post


def span(number: int = 1, *, trace: str = "ab" * 16, **more: Any) -> dict[str, Any]:
    """A chat of 1,000 + 100 tokens with gpt-4o, a second ago, in OTLP's JSON."""
    now = time.time_ns()
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": {"stringValue": "chat"},
        "gen_ai.provider.name": {"stringValue": "openai"},
        "gen_ai.request.model": {"stringValue": "gpt-4o"},
        "gen_ai.usage.input_tokens": {"intValue": "1000"},
        "gen_ai.usage.output_tokens": {"intValue": 100},
    }
    return {
        "traceId": trace,
        "spanId": f"{number:016x}",
        "name": "chat gpt-4o",
        "startTimeUnixNano": str(now - 10**9),
        "endTimeUnixNano": str(now),
        "attributes": [{"key": key, "value": value} for key, value in attributes.items()],
    } | more


def export(*spans: dict[str, Any]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


def events_of(client: Client, trace: str) -> list[dict[str, Any]]:
    client.publish([], wait="visible")
    lines = client.fetch("GET", "/events").content.splitlines()
    return [event for event in map(json.loads, lines) if trace in event["subject"]]


class Instrumented:
    """An agent that asks a model and uses a tool, instrumented by hand with the real SDK and its exporter."""

    def __init__(self, url: str, compression: Compression) -> None:
        exporter = OTLPSpanExporter(f"{url}/v1/traces", compression=compression)
        self.provider = TracerProvider(resource=Resource.create({"service.name": f"sdk-{compression.value}"}))
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self.provider.get_tracer("test")
        self.name = f"scout-{compression.value}"

    def answer(self, question: str) -> str:
        naming = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": self.name}
        with self.tracer.start_as_current_span(f"invoke_agent {self.name}", attributes=naming) as span:
            found = self.use_tool(question)
            return self.ask(found, trace=f"{span.get_span_context().trace_id:032x}")

    def use_tool(self, question: str) -> str:
        called = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": f"count-{self.name}"}
        with self.tracer.start_as_current_span("execute_tool", attributes=called):
            return str(len(question.split()))

    def ask(self, prompt: str, trace: str) -> str:
        asked = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.agent.name": self.name,
        }
        with self.tracer.start_as_current_span("chat", kind=SpanKind.CLIENT, attributes=asked) as span:
            span.set_attribute("gen_ai.usage.input_tokens", 1_000)
            span.set_attribute("gen_ai.usage.output_tokens", 100)
            span.set_attribute("gen_ai.response.finish_reasons", ["end_turn"])
            return trace


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_what_the_sdk_exports_is_in_the_ledger_the_runs_and_the_tools(
    node: NodeProcess, client: Client, compression: Compression
) -> None:
    agent = Instrumented(node.node.url, compression)
    trace = agent.answer("how many words are these")
    agent.provider.shutdown()
    client.publish([], wait="visible")

    (run,) = [row for row in rows(client, "runs") if row["run_id"] == trace]
    assert (run["status"], run["agent_id"], run["llm_calls"], run["tool_calls"]) == ("completed", agent.name, 1, 1)
    price = calc_price(
        Usage(input_tokens=1_000, output_tokens=100), "claude-sonnet-4-5", provider_id="anthropic"
    ).total_price
    assert Decimal(run["cost_usd"]) == price
    (spent,) = [row for row in rows(client, "cost_by_agent") if row["agent_id"] == agent.name]
    assert (spent["calls"], Decimal(spent["cost_usd"])) == (1, price)
    (model,) = [row for row in rows(client, "cost_by_model") if row["model"] == "claude-sonnet-4-5"]
    assert model["input_tokens"] >= 1_000
    (tool,) = [row for row in rows(client, "tool_use") if row["tool"] == f"count-{agent.name}"]
    assert (tool["calls"], tool["errors"]) == (1, 0)


def test_an_exporter_is_told_of_failure_when_no_node_can_read_its_spans(node: NodeProcess) -> None:
    exporter = OTLPSpanExporter(f"{node.node.url}/v1/nothing", timeout=5)
    provider = TracerProvider()
    with provider.get_tracer("test").start_as_current_span("x") as span:
        span.set_status(StatusCode.ERROR)
    assert exporter.export([span]) is SpanExportResult.FAILURE  # type: ignore[list-item]


def test_a_span_that_comes_again_in_another_batch_or_form_is_one_event(client: Client, post: Post) -> None:
    trace = "a1" * 16
    one, other = span(1, trace=trace), span(2, trace=trace)
    assert post(export(one), TEXT).json() == {}
    assert post(export(other, one), TEXT).json() == {}
    packed = TEXT | {"content-encoding": "gzip"}
    assert post(gzip.compress(export(one, other)), packed).json() == {}
    assert len(events_of(client, trace)) == 2


def test_what_cant_be_recorded_is_counted_in_the_answer_and_the_rest_is_taken(client: Client, post: Post) -> None:
    trace = "a2" * 16
    web = {"attributes": [{"key": "http.route", "value": {"stringValue": "/"}}]}
    answer = post(export(span(1, trace=trace), span(2, trace="short"), span(3, trace=trace, **web)), TEXT)
    assert answer.status_code == 200
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedSpans"] == "1"
    assert "expected a trace id of 32 hex digits" in partial["errorMessage"]
    assert [event["type"] for event in events_of(client, trace)] == ["llm_call.completed"]
    counts = client.fetch("GET", "/metrics").content.decode()
    assert 'rookery_otlp_spans_total{outcome="ignored"}' in counts


def test_a_partial_success_in_protobuf_says_how_many_and_why(post: Post) -> None:
    request = ExportTraceServiceRequest()
    bad = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"\1" * 16, span_id=b"\1" * 8)
    bad.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
    answer = post(request.SerializeToString(), BINARY)
    assert answer.headers["content-type"] == "application/x-protobuf"
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (partial.rejected_spans, "set the clock" in partial.error_message) == (1, True)


@pytest.mark.parametrize(("body", "headers"), [(b"", BINARY), (b"{}", TEXT), (b'{"resourceSpans":null}', TEXT)])
def test_an_empty_export_succeeds(post: Post, body: bytes, headers: dict[str, str]) -> None:
    answer = post(body, headers)
    assert (answer.status_code, answer.content) == (200, b"" if headers == BINARY else b"{}")


BOMB = gzip.compress(bytes(EXPORT_BYTES_MAX + 1))
PACKED = BINARY | {"content-encoding": "gzip"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason"),
    [
        (b"\xff\xff", BINARY, 400, "no ExportTraceServiceRequest"),
        (b"{nonsense", TEXT, 400, "no ExportTraceServiceRequest"),
        (b'{"resourceSpans":' + b"[" * 100_000, TEXT, 400, "no ExportTraceServiceRequest"),
        (b"no gzip", PACKED, 400, "unpacked as gzip"),
        (gzip.compress(b"x" * 1_000, mtime=0)[:-9], PACKED, 400, "unpacked as gzip"),
        (BOMB, PACKED, 413, "20,971,520 bytes"),
        (bytes(EXPORT_BYTES_MAX + 1), BINARY, 413, "20,971,520 bytes"),
        (b"", {"content-type": "text/plain"}, 415, "Content-Type is 'text/plain'"),
        (b"", BINARY | {"content-encoding": "br"}, 415, "Content-Encoding is 'br'"),
    ],
)
def test_what_cant_be_read_is_refused_with_a_status_message(
    post: Post, body: bytes, headers: dict[str, str], status: int, reason: str
) -> None:
    answer = post(body, headers)
    assert answer.status_code == status
    in_json = answer.headers["content-type"] == "application/json"
    message = answer.json()["message"] if in_json else Status.FromString(answer.content).message
    assert reason in message


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DiskFull(Path("data"), 0), 503),
        (TooBusy("exports", 65), 503),
        (BusUnavailable("nats://127.0.0.1:4222", "it is away"), 503),
        (TooManySpans(20_000), 413),
    ],
)
def test_an_exporter_sends_again_what_may_be_taken_later_and_nothing_else(error: RookeryError, status: int) -> None:
    assert status_of(error, STATUSES) == status


def test_many_exporters_at_once_are_all_answered(client: Client, post: Post) -> None:
    trace = "a3" * 16
    bodies = [
        export(*(span(number, trace=trace) for number in range(first, first + 20))) for first in range(1, 400, 20)
    ]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda body: post(body, TEXT), bodies + bodies))
    assert {answer.status_code for answer in answers} == {200}
    assert len(events_of(client, trace)) == 400


@pytest.mark.parametrize("length", [0, 1, 127, 128, 300, 20_000])
def test_a_failure_of_any_length_is_a_google_rpc_status(length: int) -> None:
    assert Status.FromString(PROTOBUF.failure("x" * length)).message == "x" * length
