"""What a model call costs: exactly the package's price, and unknown where it has none."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.handlers.pricing import PRICE_VERSION, cost_usd

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_cost_is_an_exact_decimal() -> None:
    # 374 * 2.50 $ + 44 * 10 $ per million tokens
    cost = cost_usd("openai", "gpt-4o", time=NOW, input_tokens=374, output_tokens=44)
    assert cost == Decimal("0.001375")


def test_tokens_read_from_a_cache_are_part_of_the_input_and_cost_their_own_price() -> None:
    # (1000 - 400) * 2.50 $ + 400 * 1.25 $ + 100 * 10 $ per million tokens
    cost = cost_usd("openai", "gpt-4o", time=NOW, input_tokens=1000, output_tokens=100, cache_read_input_tokens=400)
    assert cost == Decimal("0.003")


@pytest.mark.parametrize(
    ("time", "cost"),
    [
        (datetime(2025, 6, 9, 23, 59, 59, tzinfo=UTC), "50"),
        (datetime(2025, 6, 10, tzinfo=UTC), "10"),
    ],
)
def test_the_price_in_force_at_the_call_counts(time: datetime, cost: str) -> None:
    assert cost_usd("openai", "o3", time=time, input_tokens=10**6, output_tokens=10**6) == Decimal(cost)


def test_a_call_older_than_every_known_price_takes_the_first() -> None:
    first = cost_usd("openai", "o3", time=datetime(2025, 1, 1, tzinfo=UTC), input_tokens=7, output_tokens=7)
    older = cost_usd("openai", "o3", time=datetime(2023, 11, 16, tzinfo=UTC), input_tokens=7, output_tokens=7)
    assert first == older is not None


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("no-such-provider", "gpt-4o"),
        ("", ""),
        ("github-copilot", "gpt-4o"),  # in the table, by subscription: no price per token
    ],
)
def test_an_unknown_price_is_unknown_not_zero(provider: str, model: str) -> None:
    assert cost_usd(provider, model, time=NOW, input_tokens=10, output_tokens=10) is None


def test_output_that_has_no_price_makes_the_cost_unknown_and_no_output_does_not() -> None:
    assert cost_usd("openai", "text-embedding-3-small", time=NOW, input_tokens=10, output_tokens=1) is None
    cost = cost_usd("openai", "text-embedding-3-small", time=NOW, input_tokens=10, output_tokens=0)
    assert cost == Decimal("0.0000002")


def test_counts_that_contradict_each_other_have_no_known_cost() -> None:
    cost = cost_usd("openai", "gpt-4o", time=NOW, input_tokens=1, output_tokens=1, cache_read_input_tokens=2)
    assert cost is None


@pytest.mark.parametrize(
    ("provider", "there", "model"), [("x_ai", "x-ai", "grok-4"), ("azure.ai.inference", "azure", "gpt-4o")]
)
def test_whoever_calls_a_provider_as_opentelemetry_does_has_its_prices(provider: str, there: str, model: str) -> None:
    cost = cost_usd(provider, model, time=NOW, input_tokens=10, output_tokens=10)
    assert cost == cost_usd(there, model, time=NOW, input_tokens=10, output_tokens=10) is not None


@pytest.mark.parametrize("cached", [None, 1])
def test_counts_that_would_cost_more_than_an_event_can_carry_have_no_known_cost(cached: int | None) -> None:
    def cost(tokens: int) -> Decimal | None:
        return cost_usd(
            "openai", "gpt-4o", time=NOW, input_tokens=tokens, output_tokens=0, cache_read_input_tokens=cached
        )

    assert cost(2**63 - 1) is None
    assert cost(10**17) is not None


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.sampled_from(["gpt-4o", "gpt-4o-mini", "o3", "gpt-5.6-sol"]))
@settings(max_examples=50, deadline=None)
def test_a_cost_is_the_price_table_s_to_the_last_digit(input_tokens: int, output_tokens: int, model: str) -> None:
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    theirs = calc_price(usage, model, provider_id="openai", genai_request_timestamp=NOW).total_price
    ours = cost_usd("openai", model, time=NOW, input_tokens=input_tokens, output_tokens=output_tokens)
    assert ours == theirs


@pytest.mark.parametrize("input_tokens", [374, 300_000])
def test_every_model_of_the_table_costs_what_the_table_says(input_tokens: int) -> None:
    usage = Usage(input_tokens=input_tokens, output_tokens=44)
    for provider in providers:
        for model in provider.models:
            ours = cost_usd(provider.id, model.id, time=NOW, input_tokens=input_tokens, output_tokens=44)
            if ours is not None:
                theirs = calc_price(usage, model.id, provider_id=provider.id, genai_request_timestamp=NOW)
                assert ours == theirs.total_price, (provider.id, model.id)


def test_the_version_names_the_table() -> None:
    assert f"genai-prices/{version('genai-prices')}" == PRICE_VERSION


def test_pricing_reaches_for_no_network() -> None:
    program = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto"):
        print(event, arguments); sys.stdout.flush(); import os; os._exit(9)
sys.addaudithook(refuse)
import threading
from datetime import UTC, datetime
from rookery.handlers.pricing import cost_usd
assert cost_usd("openai", "gpt-4o", time=datetime.now(UTC), input_tokens=1, output_tokens=1)
assert threading.active_count() == 1, "somebody updates prices behind our back"
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
