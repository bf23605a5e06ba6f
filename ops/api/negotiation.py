"""Which format an answer comes in: what `format=` says, else what the `Accept` header likes best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fastapi import Request

from ...schemas import RookeryError

# The first is what is sent to those who don't care.
MEDIA_TYPES = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}


class NotAcceptable(RookeryError):
    """Answers come in none of the formats that the client takes."""

    def __init__(self, asked: str) -> None:
        self.asked = asked
        offered = ", ".join(f"{media_type} (format={name})" for name, media_type in MEDIA_TYPES.items())
        super().__init__(f"{asked!r} is not offered; there are {offered}")


def format_of(request: Request) -> str:
    """The name of the format to answer in. Raises `NotAcceptable`."""
    asked = request.query_params.get("format")
    if asked is not None:
        if asked not in MEDIA_TYPES:
            raise NotAcceptable(asked[:100])
        return asked
    accept = ", ".join(request.headers.getlist("accept"))
    if not accept.strip():
        return next(iter(MEDIA_TYPES))
    best = preferred(accept, list(MEDIA_TYPES.values()))
    if best is None:
        raise NotAcceptable(accept[:200])
    return next(name for name, media_type in MEDIA_TYPES.items() if media_type == best)


def preferred(accept: str, offered: Sequence[str]) -> str | None:
    """The media type that an `Accept` header likes best, the first for those who don't care; None if it takes none."""
    likings = dict(_likings(accept)) if accept.strip() else {"*/*": 1.0}
    best = max(offered, key=lambda media_type: _liking(media_type, likings))
    return best if _liking(best, likings) > 0 else None


def _likings(accept: str) -> Iterator[tuple[str, float]]:
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights = [text[2:] for text in parameters if text.startswith("q=")]
        try:
            yield media_range, float(weights[0]) if weights else 1.0
        except ValueError:
            yield media_range, 0.0


def _liking(media_type: str, likings: dict[str, float]) -> float:
    """How much a type is liked: the most specific range that holds it says."""
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((likings[one] for one in ranges if one in likings), 0.0)
