"""OpenAI's usage exports: each row, the sum of a bucket's requests to one model, becomes one `llm_call.completed`.

Pages of the organization's usage API as it answers them (`/v1/organization/usage/completions` and `…/embeddings`,
grouped by model at least). OpenAI doesn't say how many tokens each request had, so a row stays one call: the tokens
and the dollars are right, the number of calls is not. Where a model's tokens cost more in a long prompt, a row of more
than one short prompt may have is told without dollars. A bucket that has not ended is rejected: a later export would
say something else of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

import msgspec

from ...schemas import Event, LlmCallCompleted, derived_id, usd
from ...schemas.vocabulary import Name, Tokens
from ..pricing import PRICE_VERSION, cost_usd, is_sum_priced
from .documents import documents
from .elements import Element
from .found import Finding, Rejected, found, read_as

SOURCE = "/importers/openai-usage"
PROVIDER = "openai"
OPERATIONS = {
    "organization.usage.completions.result": "chat",
    "organization.usage.embeddings.result": "embeddings",
}


class Row(msgspec.Struct):
    """What was used of one model within a bucket, by the groups that were asked for."""

    object: str
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    input_cached_tokens: Tokens | None = None
    input_audio_tokens: Tokens | None = None
    output_audio_tokens: Tokens | None = None
    input_image_tokens: Tokens | None = None
    output_image_tokens: Tokens | None = None
    num_model_requests: Tokens | None = None
    model: Name | None = None
    project_id: str | None = None
    user_id: str | None = None
    api_key_id: str | None = None
    batch: bool | None = None
    service_tier: str | None = None

    def groups(self) -> list[str]:
        """What tells this row from the others of its bucket."""
        given = (self.model, self.project_id, self.user_id, self.api_key_id, self.batch, self.service_tier)
        return ["" if one is None else str(one) for one in given]

    @property
    def is_text(self) -> bool:
        """Whether no sound and no image went in or came out."""
        return not (
            self.input_audio_tokens or self.output_audio_tokens or self.input_image_tokens or self.output_image_tokens
        )


class Bucket(msgspec.Struct):
    """A span of time, in seconds since 1970."""

    start_time: int
    end_time: int
    results: list[Row] = []


class Page(msgspec.Struct):
    """An answer of the API; a bucket by itself is a page too."""

    data: list[Bucket] | None = None
    start_time: int | None = None
    end_time: int | None = None
    results: list[Row] = []

    def buckets(self) -> list[Bucket]:
        """The buckets of the page."""
        if self.data is not None or self.start_time is None or self.end_time is None:
            return self.data or []
        return [Bucket(self.start_time, self.end_time, self.results)]


_page = msgspec.json.Decoder(Page)


def read(file: BinaryIO, name: str, *, agent: str | None = None) -> Iterator[Finding]:
    """The rows of the file's pages, each priced as of its bucket's beginning."""
    for document in documents(file):
        if isinstance(document, Rejected):
            yield document
        else:
            yield from _calls(document, agent)


def notes(*, agent: str | None = None) -> list[str]:
    """That a call here is many."""
    return ["each row of a bucket counts as one call: OpenAI doesn't say what each request used"]


def _calls(document: Element[bytes], agent: str | None) -> Iterator[Finding]:
    page = read_as(_page, document.value, document.where)
    if isinstance(page, Rejected):
        yield page
        return
    for bucket in page.buckets():
        for number, row in enumerate(bucket.results, 1):
            where = f"bucket {bucket.start_time}, result {number}"
            yield _call(bucket, row, agent, ", ".join(part for part in (document.where, where) if part))


def _call(bucket: Bucket, row: Row, agent: str | None, where: str) -> Finding:
    if row.object not in OPERATIONS:
        return Rejected(where, f"expected one of {', '.join(OPERATIONS)}, found {row.object[:80]!r}")
    if row.model is None:
        return Rejected(where, "the row names no model: export the usage with `group_by=model`")
    try:
        began, ended = (datetime.fromtimestamp(seconds, UTC) for seconds in (bucket.start_time, bucket.end_time))
    except (ValueError, OverflowError, OSError):
        return Rejected(where, f"expected seconds since 1970, found {bucket.start_time} and {bucket.end_time}")
    if ended > datetime.now(UTC):
        return Rejected(where, "its bucket had not ended: export it again when it has")
    cost = _cost(row, row.model, began)
    call = LlmCallCompleted(
        provider=PROVIDER,
        request_model=row.model,
        operation=OPERATIONS[row.object],
        agent_id=agent,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cache_read_input_tokens=row.input_cached_tokens,
        cost_usd=cost,
        price_version=None if cost is None else PRICE_VERSION,
    )
    span = (str(bucket.start_time), str(bucket.end_time))
    call_id = derived_id(SOURCE, row.object, *span, *row.groups())
    return found(Event.of(call, subject=call_id, source=SOURCE, id=call_id, time=began), where)


def _cost(row: Row, model: str, time: datetime) -> str | None:
    """What it cost by the price table, which knows nothing of batches and tiers: their price is unknown here.

    So is that of sound and images: their tokens have prices of their own, and are counted among the others or beside
    them, as the export is new or old. And so is that of many requests' tokens where it depends on how long each was.
    """
    if row.batch or row.service_tier not in (None, "default") or not row.is_text:
        return None
    if row.num_model_requests != 1 and not is_sum_priced(PROVIDER, model, time=time, input_tokens=row.input_tokens):
        return None
    cost = cost_usd(
        PROVIDER,
        model,
        time=time,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cache_read_input_tokens=row.input_cached_tokens,
    )
    return None if cost is None else usd(cost)
