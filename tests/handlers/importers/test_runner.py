"""An import as a whole: chunks, progress, refusals, and being interrupted."""

from __future__ import annotations

import asyncio
import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from rookery.handlers.importers import (
    CHUNK_EVENTS_MAX,
    ImportFailed,
    Progress,
    Published,
    Refused,
    Rejection,
    run_import,
)
from rookery.schemas import Event, MessageRecorded, encode

TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "2023-11-16 18:15:46.6805900,374,44\n" * 25
MODEL = {"provider": "openai", "model": "gpt-4o"}


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    return path


def event(text: str, step: int = 0) -> bytes:
    data = MessageRecorded(run_id="run-1", step=step, role="user", content=text)
    return encode(Event.of(data, subject=f"run-1-{step}", source="/agents/coder-7"))


async def test_the_same_file_again_is_all_duplicates_whatever_its_folder(trace: Path, shelf: Any) -> None:
    first = await run_import("azure-llm", [trace], MODEL, shelf.publish)
    assert (first.events, first.new, first.duplicates, first.rejected) == (25, 25, 0, 0)
    (trace.parent / "elsewhere").mkdir()
    copy = shutil.copy(trace, trace.parent / "elsewhere")
    second = await run_import("azure-llm", [Path(copy)], MODEL, shelf.publish)
    assert (second.events, second.new, second.duplicates, second.rejected) == (25, 0, 25, 0)


@pytest.mark.parametrize("chunk_events_max", [1, 2, 7, 25, 26])
async def test_chunks_of_any_size_give_the_same_events_in_the_same_order(
    trace: Path, shelf: Any, chunk_events_max: int
) -> None:
    whole = type(shelf)()
    await run_import("azure-llm", [trace], MODEL, whole.publish)
    await run_import("azure-llm", [trace], MODEL, shelf.publish, chunk_events_max=chunk_events_max)
    assert list(shelf.payloads.items()) == list(whole.payloads.items())
    assert max(shelf.chunks) == min(chunk_events_max, 25)


async def test_chunks_are_bounded_in_events_and_in_bytes(tmp_path: Path, shelf: Any) -> None:
    many, large = tmp_path / "many.ndjson", tmp_path / "large.ndjson"
    many.write_bytes(b"\n".join(event("x", step) for step in range(CHUNK_EVENTS_MAX + 1)))
    large.write_bytes(b"\n".join(event("x" * 900_000, step) for step in range(7)))
    await run_import("ndjson", [many], {}, shelf.publish)
    assert shelf.chunks == [CHUNK_EVENTS_MAX, 1]
    shelf.chunks.clear()
    await run_import("ndjson", [large], {}, shelf.publish)
    assert shelf.chunks == [5, 2]


async def test_what_is_rejected_is_counted_and_the_first_of_it_shown_with_its_place(tmp_path: Path, shelf: Any) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\n".join([event("one"), *[b"no json"] * 30, event("two", 1)]))
    seen: list[Progress] = []
    summary = await run_import("ndjson", [path], {}, shelf.publish, seen.append, chunk_events_max=3)
    assert len(seen) > 30 / 3, "what is rejected fills a chunk too"
    assert (summary.events, summary.rejected, len(summary.rejections)) == (2, 30, 20)
    assert summary.rejections[0].path == str(path)
    assert [rejection.where for rejection in summary.rejections] == [f"line {number}" for number in range(2, 22)]


async def test_a_reason_is_cut_to_a_length_that_can_be_shown(tmp_path: Path, shelf: Any) -> None:
    path = tmp_path / "events.ndjson"
    twin = '"' + "x" * 10_000 + '":1,'
    path.write_bytes(event("one").replace(b"{", b"{" + twin.encode() * 2, 1))
    [rejection] = (await run_import("ndjson", [path], {}, shelf.publish)).rejections
    assert len(rejection.reason) == 500


async def test_what_the_bus_refuses_is_rejected_with_its_place(trace: Path) -> None:
    async def publish(payloads: list[bytes]) -> Published:
        return Published(len(payloads) - 1, 0, [Refused(2, "too large for this server")])

    summary = await run_import("azure-llm", [trace], MODEL, publish)
    assert (summary.events, summary.new, summary.rejected) == (24, 24, 1)
    assert summary.rejections == [Rejection(str(trace), "line 4", "too large for this server")]


async def test_a_damaged_file_among_others_costs_only_itself(tmp_path: Path, shelf: Any) -> None:
    run = {"question": "?", "question_ID": "q", "history": [], "mistake_agent": "a", "mistake_reason": "r"}
    for number in range(3):
        text = json.dumps(run | {"question_ID": f"q-{number}", "mistake_step": "0"})
        (tmp_path / f"{number}.json").write_text(text[:40] if number == 1 else text)
    summary = await run_import("who-and-when", [tmp_path], {}, shelf.publish)
    assert (summary.events, summary.rejected) == (8, 1)
    assert summary.rejections[0].path == str(tmp_path / "1.json")


async def test_a_file_that_cannot_be_read_is_rejected_with_the_system_s_reason(shelf: Any, tmp_path: Path) -> None:
    memory = Path("/proc/self/mem")  # opens, and fails to read
    if not memory.exists():
        pytest.skip("this system has no /proc")
    good = tmp_path / "good.ndjson"
    good.write_bytes(event("x"))
    summary = await run_import("ndjson", [memory, good], {}, shelf.publish)
    assert summary.rejections == [Rejection(str(memory), "", "it can't be read: Input/output error")]
    assert summary.events == 1


async def test_progress_goes_up_to_all_of_the_bytes_and_counts_what_is_durable(trace: Path, shelf: Any) -> None:
    other = trace.with_name("other.csv")
    other.write_text(TRACE)
    seen: list[Progress] = []
    await run_import("azure-llm", [trace, other], MODEL, shelf.publish, seen.append, chunk_events_max=10)
    assert seen == sorted(seen)
    assert seen[-1] == Progress(len(TRACE) * 2, len(TRACE) * 2, 50, 0)
    assert len(seen) > 4


async def test_nothing_is_published_when_the_import_cannot_begin(trace: Path, shelf: Any) -> None:
    for source, paths, options in [
        ("azure", [trace], MODEL),
        ("azure-llm", [trace, trace.with_name("missing.csv")], MODEL),
        ("azure-llm", [trace], {"provider": "openai"}),
    ]:
        with pytest.raises(ImportFailed):
            await run_import(source, paths, options, shelf.publish)
    assert shelf.chunks == []


async def test_an_unknown_price_is_noted(trace: Path, shelf: Any) -> None:
    summary = await run_import("azure-llm", [trace], MODEL | {"model": "gpt4oo"}, shelf.publish)
    assert "knows no price of openai/gpt4oo" in summary.notes[0]


async def test_chunks_go_one_after_the_other_and_the_next_is_read_meanwhile(trace: Path) -> None:
    on_their_way = 0

    async def publish(payloads: list[bytes]) -> Published:
        nonlocal on_their_way
        on_their_way += 1
        assert on_their_way == 1
        await asyncio.sleep(0)
        on_their_way -= 1
        return Published(len(payloads), 0)

    assert (await run_import("azure-llm", [trace], MODEL, publish, chunk_events_max=1)).new == 25


async def test_a_failing_bus_ends_the_import_and_the_next_one_continues_it(trace: Path, shelf: Any) -> None:
    async def publish(payloads: list[bytes]) -> Published:
        if len(shelf.payloads) >= 10:
            raise ConnectionError("the bus is gone")
        published: Published = await shelf.publish(payloads)
        return published

    with pytest.raises(ConnectionError):
        await run_import("azure-llm", [trace], MODEL, publish, chunk_events_max=5)
    summary = await run_import("azure-llm", [trace], MODEL, shelf.publish)
    assert (summary.new, summary.duplicates) == (15, 10)


async def test_a_cancelled_import_stops_reading_and_the_next_one_continues_it(trace: Path, shelf: Any) -> None:
    waiting = asyncio.Event()

    async def publish(payloads: list[bytes]) -> Published:
        if len(shelf.payloads) >= 10:
            waiting.set()
            await asyncio.Event().wait()
        published: Published = await shelf.publish(payloads)
        return published

    importing = asyncio.create_task(run_import("azure-llm", [trace], MODEL, publish, chunk_events_max=5))
    await waiting.wait()
    importing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await importing
    summary = await run_import("azure-llm", [trace], MODEL, shelf.publish)
    assert (summary.new, summary.duplicates) == (15, 10)


async def drop(payloads: list[bytes]) -> Published:
    return Published(len(payloads), 0)


def large_trace() -> bytes:
    return (TRACE + "2023-11-16 18:15:46.6805900,374,44\n" * 20_000).encode()


def large_trajectories() -> bytes:
    run = {"trial": 0, "reward": 1.0, "info": {}, "traj": [{"role": "user", "content": "x" * 10_000}] * 10}
    return json.dumps([run | {"task_id": number} for number in range(100)]).encode()


def large_events() -> bytes:
    return b"\n".join(event("x" * 10_000, step) for step in range(1_000))


@pytest.mark.parametrize(
    ("source", "options", "text"),
    [
        ("azure-llm", {"provider": "nobody", "model": "unpriced"}, large_trace()),
        ("tau-bench", {}, large_trajectories()),
        ("ndjson", {}, large_events()),
    ],
)
async def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, trace: Path, source: str, options: dict[str, str | None], text: bytes
) -> None:
    path = tmp_path / "large"
    path.write_bytes(text)
    await run_import("azure-llm", [trace], MODEL, drop)  # what is loaded once is no part of it
    tracemalloc.start()
    try:
        await run_import(source, [path], options, drop, chunk_events_max=10)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < len(text) / 3
