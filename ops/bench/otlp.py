"""Spans: how many a node takes from exporters that send batches side by side, each answered when it is durable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from .figures import Figure, percentile
from .node_process import node_process

SPANS = 50_000
BATCH_SPANS = 512  # what SDKs send at most, unless they are told otherwise
EXPORTERS = 4
TURNS = 5  # of a trace: each a model call and a tool call, beneath one agent
MODELS = [("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5")]
TOOLS = ["read_file", "grep", "pytest", "git_diff"]
REQUEST_SECONDS_MAX = 60.0


def otlp(spans: int = SPANS, *, batch_spans: int = BATCH_SPANS, exporters: int = EXPORTERS) -> list[Figure]:
    """Spans per second over HTTP in protobuf, and how long an exporter waits for the answer to a batch."""
    batches = [_encoded(batch) for batch in _batched(_spans(spans), batch_spans)]
    with TemporaryDirectory(prefix="rookery-bench-") as folder, node_process(Path(folder)) as running:
        seconds, taken = asyncio.run(_export(f"{running.node.url}/v1/traces", batches, exporters))
    return [
        Figure.of("otlp.throughput", spans / seconds, "spans/s"),
        Figure.of("otlp.answered_p99", percentile(taken, 0.99) * 1e3, "ms"),
    ]


async def _export(url: str, batches: list[bytes], exporters: int) -> tuple[float, list[float]]:
    taken: list[float] = []

    async def exporter(share: Iterator[bytes], http: httpx.AsyncClient) -> None:
        for batch in share:
            began = time.perf_counter()
            answer = await http.post(url, content=batch, headers={"content-type": "application/x-protobuf"})
            taken.append(time.perf_counter() - began)
            if answer.status_code != httpx.codes.OK or answer.content:
                raise RuntimeError(f"the node answered {answer.status_code}: {answer.text}")

    share = iter(batches)
    async with httpx.AsyncClient(timeout=REQUEST_SECONDS_MAX, trust_env=False) as http:
        began = time.perf_counter()
        await asyncio.gather(*(exporter(share, http) for _ in range(exporters)))
        return time.perf_counter() - began, taken


def _batched(spans: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for span in spans:
        batch.append(span)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _encoded(batch: list[dict[str, Any]]) -> bytes:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "bench"
    scope = group.scope_spans.add()
    for one in batch:
        span = scope.spans.add(**{name: value for name, value in one.items() if name != "attributes"})
        for key, value in one["attributes"].items():
            holder = span.attributes.add(key=key).value
            if isinstance(value, int):
                holder.int_value = value
            else:
                holder.string_value = value
    return request.SerializeToString()


def _spans(count: int, *, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Traces as exporters send them: what ends first comes first, so that children come before their parents."""
    random = Random(seed)  # noqa: S311
    made = 0
    while True:
        for span in _trace(random):
            if made == count:
                return
            yield span
            made += 1


def _trace(random: Random) -> Iterator[dict[str, Any]]:
    trace_id, root_id = random.randbytes(16), random.randbytes(8)
    agent = {"gen_ai.agent.name": f"coder-{random.randrange(50)}"}
    clock = time.time_ns()
    common = {"trace_id": trace_id, "start_time_unix_nano": clock - 10**9, "end_time_unix_nano": clock}
    for _ in range(TURNS):
        provider, model = random.choice(MODELS)
        chat = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "gen_ai.response.model": model,
            "gen_ai.usage.input_tokens": random.randrange(200, 6_000),
            "gen_ai.usage.output_tokens": random.randrange(20, 900),
        }
        tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": random.choice(TOOLS)}
        for name, attributes in (("chat", chat), ("execute_tool", tool)):
            own = {"span_id": random.randbytes(8), "parent_span_id": root_id, "name": name}
            yield common | own | {"attributes": attributes | agent}
    invoked = {"gen_ai.operation.name": "invoke_agent"}
    yield common | {"span_id": root_id, "name": "invoke_agent", "attributes": invoked | agent}
