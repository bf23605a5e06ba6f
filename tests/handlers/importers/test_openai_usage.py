"""OpenAI's usage: buckets become priced calls, and what can't be told is rejected."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import msgspec
import pytest
from rookery.handlers.importers.found import Found, Rejected
from rookery.handlers.importers.openai_usage import notes, read
from rookery.handlers.pricing import PRICE_VERSION
from rookery.schemas import check_strictly

ROW = {
    "object": "organization.usage.completions.result",
    "input_tokens": 1_000,
    "output_tokens": 100,
    "input_cached_tokens": 400,
    "num_model_requests": 5,
    "project_id": None,
    "model": "gpt-4o-2024-08-06",
    "batch": False,
    "service_tier": "default",
}


def bucket(*rows: dict[str, Any], start: int = 1_730_419_200) -> dict[str, Any]:
    return {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": rows}


def page(*buckets: dict[str, Any]) -> dict[str, Any]:
    return {"object": "page", "data": buckets, "has_more": False, "next_page": None}


def findings(content: Any, **options: Any) -> list[Found | Rejected]:
    written = content if isinstance(content, bytes) else json.dumps(content).encode()
    return list(read(BytesIO(written), "usage", **options))


def events(content: Any, **options: Any) -> list[dict[str, Any]]:
    found = [one for one in findings(content, **options) if isinstance(one, Found)]
    for one in found:
        check_strictly(one.payload)
    return [msgspec.json.decode(one.payload) for one in found]


def test_a_row_becomes_a_priced_call_at_its_bucket_s_beginning() -> None:
    (call,) = events(page(bucket(ROW)), agent="billing")
    assert (call["type"], call["time"]) == ("llm_call.completed", "2024-11-01T00:00:00Z")
    assert call["data"] == {
        "provider": "openai",
        "request_model": "gpt-4o-2024-08-06",
        "agent_id": "billing",
        "input_tokens": 1_000,
        "output_tokens": 100,
        "cache_read_input_tokens": 400,
        "cost_usd": "0.003",
        "price_version": PRICE_VERSION,
    }
    assert notes(agent=None) == ["each row of a bucket counts as one call: OpenAI doesn't say what each request used"]


@pytest.mark.parametrize(
    "content",
    [
        [page(bucket(ROW))],
        bucket(ROW),
        json.dumps(page(bucket(ROW)), indent=2).encode(),
        b"\n".join([json.dumps(page(bucket(ROW))).encode()] * 2),
    ],
)
def test_pages_come_in_every_form_of_document_and_twice_is_once(content: Any) -> None:
    found = {event["id"]: event for event in events(content)}
    assert list(found.values()) == events(page(bucket(ROW)))


def test_rows_of_other_groups_and_other_buckets_are_other_calls() -> None:
    rows = [
        ROW,
        ROW | {"project_id": "p"},
        ROW | {"model": "gpt-4o-mini"},
        ROW | {"user_id": "u"},
        ROW | {"batch": True},
    ]
    found = events(page(bucket(*rows), bucket(ROW, start=1_730_505_600)))
    assert len({event["id"] for event in found}) == 6


@pytest.mark.parametrize(
    "more",
    [
        {"batch": True},
        {"service_tier": "flex"},
        {"model": "ft:gpt-x:acme"},
        {"input_audio_tokens": 1},
        {"output_audio_tokens": 1},
        {"input_image_tokens": 1},
        {"output_image_tokens": 1},
    ],
)
def test_a_price_that_the_table_does_not_have_is_left_out(more: dict[str, Any]) -> None:
    (call,) = events(page(bucket(ROW | more)))
    assert "cost_usd" not in call["data"]


@pytest.mark.parametrize(
    ("input_tokens", "requests", "cost"),
    [(272_000, 5, "0.68"), (300_000, 5, None), (300_000, None, None), (300_000, 1, "1.5")],
)
def test_tokens_that_cost_more_in_a_long_prompt_have_no_price_as_a_sum(
    input_tokens: int, requests: int | None, cost: str | None
) -> None:
    row = {"input_tokens": input_tokens, "output_tokens": 0, "input_cached_tokens": 0, "num_model_requests": requests}
    (call,) = events(page(bucket(ROW | row | {"model": "gpt-5.4"}, start=1_780_272_000)))
    assert call["data"].get("cost_usd") == cost


def test_embeddings_are_embeddings() -> None:
    row = {"object": "organization.usage.embeddings.result", "input_tokens": 10, "model": "text-embedding-3-small"}
    (call,) = events(page(bucket(row)))
    assert (call["data"]["operation"], call["data"]["cost_usd"]) == ("embeddings", "0.0000002")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (page(bucket(ROW | {"model": None})), "export the usage with `group_by=model`"),
        (page(bucket(ROW | {"object": "organization.costs.result"})), "expected one of organization.usage.completions"),
        (page(bucket(ROW, start=9_999_999_999)), "had not ended"),
        (page(bucket(ROW, start=10**15)), "expected seconds since 1970"),
        (page(bucket(ROW | {"input_tokens": -1})), "Expected `int` >= 0"),
        (page({"results": []}), "start_time"),
        (b"{nonsense", "malformed"),
    ],
)
def test_what_cant_be_told_is_rejected_with_a_reason(content: Any, reason: str) -> None:
    (found,) = findings(content)
    assert isinstance(found, Rejected)
    assert reason in found.reason
