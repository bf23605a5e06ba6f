"""Runs: lines as they travel, compressed, behind a line that says which segment they are of."""

from __future__ import annotations

import msgspec
import zstandard

from .peers import LINE_BYTES_MAX, RUN_BYTES_MAX, RUN_EVENTS_MAX, Number, Run

ZSTD_LEVEL = 3
_DECODED_BYTES_MAX = RUN_BYTES_MAX + LINE_BYTES_MAX
# Of what travels: compression makes nothing much longer.
ENCODED_BYTES_MAX = _DECODED_BYTES_MAX + 2**20


class InvalidRun(ValueError):
    """Bytes that are no run of lines."""


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    segment: Number


def encode_run(run: Run) -> bytes:
    """The run as it travels."""
    head = msgspec.json.encode(_Head(run.segment))
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(b"\n".join([head, *run.lines]))


def decode_run(data: bytes) -> Run:
    """What was encoded. Raises `InvalidRun`, also for what would be more than a run may hold."""
    try:
        if not 0 <= zstandard.frame_content_size(data) <= _DECODED_BYTES_MAX:
            raise InvalidRun(f"it holds more than {_DECODED_BYTES_MAX:,} bytes, or doesn't say how many")
        decoded = zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
        head, *lines = decoded.split(b"\n", RUN_EVENTS_MAX + 1)
        if len(lines) > RUN_EVENTS_MAX:
            raise InvalidRun(f"it has more than {RUN_EVENTS_MAX:,} lines")
        return Run(msgspec.json.decode(head, type=_Head).segment, lines)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise InvalidRun(str(error)) from None
