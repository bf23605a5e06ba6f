"""Azure's traces: rows become priced model calls, and bad rows are named."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import msgspec
import pytest
from rookery.handlers.importers.azure_llm import notes, read
from rookery.handlers.importers.found import Found, Rejected
from rookery.handlers.pricing import PRICE_VERSION
from rookery.schemas import check_strictly

HEADER = b"TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
ROW = b"2023-11-16 18:15:46.6805909,374,44\r\n"


def calls(
    text: bytes, provider: str = "openai", model: str = "gpt-4o", agent: str | None = None
) -> list[dict[str, Any]]:
    return [
        msgspec.json.decode(found.payload)
        for found in read(BytesIO(text), "trace", provider=provider, model=model, agent=agent)
        if isinstance(found, Found) and check_strictly(found.payload)
    ]


def rejections(text: bytes) -> list[Rejected]:
    found = read(BytesIO(text), "trace", provider="openai", model="gpt-4o")
    return [finding for finding in found if isinstance(finding, Rejected)]


def test_a_row_becomes_a_priced_model_call() -> None:
    [call] = calls(HEADER + ROW)
    assert call["subject"] == call.pop("id")
    call.pop("subject")
    assert call == {
        "specversion": "1.0",
        "source": "/importers/azure-llm",
        "type": "llm_call.completed",
        "time": "2023-11-16T18:15:46.680590Z",
        "data": {
            "provider": "openai",
            "request_model": "gpt-4o",
            "input_tokens": 374,
            "output_tokens": 44,
            "cost_usd": "0.001375",
            "price_version": PRICE_VERSION,
        },
    }


def test_an_unknown_price_leaves_the_cost_out_and_is_noted() -> None:
    [call] = calls(HEADER + ROW, model="no-such-model")
    assert call["data"].keys() == {"provider", "request_model", "input_tokens", "output_tokens"}
    assert notes(provider="openai", model="no-such-model") == [
        f"{PRICE_VERSION} knows no price of openai/no-such-model: the calls carry no cost"
    ]
    assert notes(provider="openai", model="gpt-4o") == []


def test_the_agent_is_there_only_if_it_is_named() -> None:
    [call] = calls(HEADER + ROW, agent="coder-7")
    assert call["data"]["agent_id"] == "coder-7"


def test_equal_rows_stay_separate_calls() -> None:
    assert len({call["id"] for call in calls(HEADER + ROW + ROW)}) == 2


def test_another_model_or_agent_makes_other_calls() -> None:
    ids = [
        calls(HEADER + ROW)[0]["id"],
        calls(HEADER + ROW, model="gpt-4o-mini")[0]["id"],
        calls(HEADER + ROW, provider="azure")[0]["id"],
        calls(HEADER + ROW, agent="coder-7")[0]["id"],
    ]
    assert len(set(ids)) == 4


def test_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    text = HEADER + ROW + ROW
    plain = calls(text)
    assert calls(text.replace(b"\r", b"")) == plain
    assert calls(b"\xef\xbb\xbf" + text) == plain
    assert calls(text.rstrip()) == plain


def test_times_with_an_offset_are_taken_to_utc() -> None:
    [call] = calls(HEADER + b"2024-05-10 02:00:00.009930+02:00,1,2\n")
    assert call["time"] == "2024-05-10T00:00:00.009930Z"


def test_other_columns_may_stand_between_ours() -> None:
    [call] = calls(b"GeneratedTokens,Region,TIMESTAMP,ContextTokens\n44,west,2023-11-16 18:15:46,374\n")
    assert (call["data"]["input_tokens"], call["data"]["output_tokens"]) == (374, 44)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"2023-11-16 18:15:46.6805900,374", "expected 3 fields, found 2"),
        (b"yesterday,374,44", "expected a time as in `2023-11-16 18:15:46.6805900`, found 'yesterday'"),
        (b"0001-01-01 00:00:00+10:00,374,44", "expected a time"),
        (b"2023-11-16 18:15:46,-1,44", "expected a number of tokens, found '-1'"),
        (b"2023-11-16 18:15:46,1_0,44", "expected a number of tokens, found '1_0'"),
        (b"2023-11-16 18:15:46,1.5,44", "expected a number of tokens, found '1.5'"),
        (b"2023-11-16 18:15:46,1,9999999999999999999", "expected a number of tokens"),
        ("2023-11-16 18:15:46,1,٣".encode(), "expected a number of tokens"),
        (b"2023-11-16 18:15:46,1,\xff", "can't decode byte 0xff"),
        (b"x" * 1_000_001, "the bus carries at most 1,000,000"),
    ],
)
def test_a_bad_row_is_rejected_with_its_line_and_the_others_are_read(row: bytes, reason: str) -> None:
    text = HEADER + ROW + row + b"\n" + ROW
    [rejected] = rejections(text)
    assert rejected.where == "line 3"
    assert reason in rejected.reason
    assert len(calls(text)) == 2


@pytest.mark.parametrize("text", [b"", b"\n", ROW, HEADER.decode().encode("utf-16"), b"a,b\n1,2\n", b"\x00" * 100])
def test_a_file_without_the_header_is_rejected_as_a_whole(text: bytes) -> None:
    assert rejections(text) == [
        Rejected("line 1", "expected the header TIMESTAMP,ContextTokens,GeneratedTokens, in UTF-8")
    ]


def test_a_file_cut_anywhere_gives_the_rows_before_the_cut() -> None:
    text = HEADER + ROW + ROW.replace(b"44", b"45") + ROW.replace(b"44", b"46")
    whole = calls(text)
    for size in range(len(text)):
        complete = max(0, text[:size].count(b"\n") - 1)
        assert calls(text[:size])[:complete] == whole[:complete]
        assert len(calls(text[:size])) + len(rejections(text[:size])) <= complete + 1
