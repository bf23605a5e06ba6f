"""What a model call costs: exact dollars from the `genai-prices` package, which ships with its price table.

The price is the one in force when the call was made. Where the package knows no price as old as the call, its first
known price counts, as the package has it. Nothing here touches the network: a newer table comes with a newer package,
and `PRICE_VERSION` says which one an amount was reckoned with.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from genai_prices import Usage, __version__, calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TieredPrices, calc_unit_price

from ..schemas import USD_MAX

PRICE_VERSION = f"genai-prices/{__version__}"
PRICED_TOKENS = 1_000_000
# What the table calls a provider that OpenTelemetry's conventions, or the exporters that came before, call otherwise.
CALLED_THERE = {
    "x_ai": "x-ai",
    "xai": "x-ai",
    "az.ai.inference": "azure",
    "azure.ai.inference": "azure",
    "az.ai.openai": "azure",
}


def cost_usd(
    provider: str,
    model: str,
    *,
    time: datetime,
    input_tokens: int,
    output_tokens: int,
    cache_read_input_tokens: int | None = None,
    cache_creation_input_tokens: int | None = None,
) -> Decimal | None:
    """What the call costs, or None where that is unknown: unknown is not zero.

    `input_tokens` counts all of the prompt, what was read from or written to a cache included. The cost is unknown
    for a provider or model that the table lacks, for tokens that it has no price for (it reckons them at nothing, as
    for models that come with a subscription), for counts that contradict each other, and for counts so absurd that no
    event can carry what they would cost: one such span or line is no reason to lose the others.
    """
    provider = CALLED_THERE.get(provider, provider)
    try:
        if not cache_read_input_tokens and not cache_creation_input_tokens and input_tokens >= 0 <= output_tokens:
            plain = _plain_cost(provider, model, time, input_tokens, output_tokens)
            if plain is not None:
                return _as_carried(plain)
        usage = Usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=cache_read_input_tokens,
            cache_write_tokens=cache_creation_input_tokens,
        )
        cost = calc_price(usage, model, provider_id=provider, genai_request_timestamp=time)
    except (LookupError, ValueError):
        return None
    unpriced_input = input_tokens and cost.model_price.input_mtok is None
    unpriced_output = output_tokens and cost.model_price.output_mtok is None
    return None if unpriced_input or unpriced_output else _as_carried(cost.total_price)


def is_sum_priced(provider: str, model: str, *, time: datetime, input_tokens: int) -> bool:
    """Whether so many tokens cost as much in many calls as in one, so that the price of their sum can be told.

    Some models' tokens cost more in a call whose prompt is long, and some have a price of the call itself.
    """
    try:
        _, found = get_snapshot().find_provider_model(model, None, CALLED_THERE.get(provider, provider), None)
    except LookupError:
        return False
    prices = found.get_prices(time)
    tiers = [tier for price in vars(prices).values() if isinstance(price, TieredPrices) for tier in price.tiers]
    return prices.requests_kcount is None and all(input_tokens <= tier.start for tier in tiers)


def provider_of(model: str) -> str | None:
    """The provider that the table would look for a model of this name at, if there is one."""
    try:
        return get_snapshot().find_provider_model(model, None, None, None)[0].id
    except LookupError:
        return None


def _plain_cost(provider: str, model: str, time: datetime, input_tokens: int, output_tokens: int) -> Decimal | None:
    """The same amount where nothing counts but input and output, ten times as fast; None where there is more to it."""
    _, found = get_snapshot().find_provider_model(model, None, provider, None)
    prices = found.get_prices(time)
    if prices.requests_kcount is not None or prices.input_mtok is None or prices.output_mtok is None:
        return None  # a price of the request itself, too, or none of the tokens
    asked = calc_unit_price(prices.input_mtok, input_tokens, input_tokens, PRICED_TOKENS)
    return asked + calc_unit_price(prices.output_mtok, output_tokens, input_tokens, PRICED_TOKENS)


def _as_carried(cost: Decimal) -> Decimal | None:
    return cost if cost <= USD_MAX else None
