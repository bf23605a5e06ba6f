"""Lines that come many at once are looked at as closely as one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rookery.eventstore import MirrorRefused
from rookery.eventstore.arrivals import Arrivals
from rookery.eventstore.ids import record_key
from rookery.eventstore.line import NO_CHAIN, Chain, Letter, chain_of, chain_span, event_line, letter_line, parse
from rookery.schemas import MalformedEvent, decode

NOW = datetime(2026, 11, 29, tzinfo=UTC)
USUAL = {
    "specversion": "1.0",
    "id": "0199f3a2-1111-7222-8333-444444444444",
    "source": "/agents/coder-7",
    "type": "run.started",
    "subject": "run-1",
    "time": "2026-11-29T10:00:00Z",
    "data": {"task": "t"},
}
UNUSUAL: dict[str, list[object]] = {
    "specversion": ["1.1", 1, ""],
    "id": ["", "a b", "ä", "x" * 64, "x" * 65, "line\nbreak", "~", 7, None],
    "source": ["/agents/", "/agents/ä", "", "/agents/coder-8", None],
    "type": ["Run.started", "run", "run.started.v0", "what.ever", ""],
    "subject": ["", "x" * 256, "x" * 257, "\x7f", "ü", "\u200b", None],
    "time": ["2026-11-29T10:00:00+01:00", "2026-11-29T10:00:00", "noon", "2026-11-29T10:00:00+00:00", None],
    "traceparent": [7, "00-1", None],
    "correlationid": ["x", {}],
    "datasubject": ["someone", "", "\x00", None],
    "datacontenttype": [1, "application/json"],
    "undecodable": ["eA==", {}],
    "recordedtime": ["never", "2026-11-29T10:00:00Z"],
    "n": [1, "x"],
    "anything": [1],
}


def payload(change: tuple[str, object] | None, twin: bool) -> bytes:
    """The usual event with one attribute changed: in its place, or said once more at the end."""
    if change is None:
        return msgspec.json.encode(USUAL)
    name, value = change
    if not twin:
        return msgspec.json.encode(USUAL | {name: value})
    return msgspec.json.encode(USUAL)[:-1] + b"," + msgspec.json.encode({name: value})[1:]


changes = st.none() | st.sampled_from([(name, value) for name, values in UNUSUAL.items() for value in values])
bodies = st.builds(payload, changes, st.booleans()) | st.just(b"letter")


def lines_of(told: list[bytes]) -> list[bytes]:
    lines, chain = list[bytes](), NO_CHAIN
    for n, body in enumerate(told, 1):
        if body == b"letter":
            lines.append(letter_line(n, n, NOW, Letter(b"{", "evt.run.run-1.started.coder-7"), chain))
        else:
            lines.append(event_line(n, n, NOW, body, chain))
        chain = chain_of(lines[-1])
    return lines


def looked_at_alone(line: bytes) -> int | None:
    """The key of a line; None for one that readers could not take for granted."""
    try:
        record = parse("east", line)
        if record.letter is None:
            decode(record.payload)
        return record_key(record)
    except (ValueError, msgspec.MsgspecError, MalformedEvent):
        return None


@given(st.lists(bodies, min_size=1, max_size=6))
def test_many_lines_have_the_keys_that_each_has_alone(told: list[bytes]) -> None:
    lines = lines_of([payload(None, twin=False), *told])
    alone = [looked_at_alone(line) for line in lines]
    arrivals = Arrivals("east", 0, Chain())
    if None not in alone:
        assert arrivals.keys(lines) == alone
        return
    with pytest.raises(MirrorRefused) as refused:
        arrivals.keys(lines)
    assert refused.value.n == alone.index(None) + 1


HEADS = {
    "a number of thousands of digits": (b'"seq":2', b'"seq":' + b"9" * 5_000),
    "a number beyond all that NATS counts": (b'"seq":2', b'"seq":' + b"9" * 20),
    "a time that not everybody reads": (b"2026-11-29T00:00:00.000000Z", b"20261129T000000.0000000000Z"),
}


@pytest.mark.parametrize(("old", "new"), HEADS.values(), ids=HEADS)
def test_a_line_whose_head_could_not_be_read_again_is_refused(old: bytes, new: bytes) -> None:
    """Its chain is right, and a second time hides the first one from who reads the line as JSON."""
    first, second = lines_of([payload(None, twin=False), payload(("recordedtime", USUAL["time"]), twin=True)])
    span = chain_span(second)
    assert span is not None
    begin, rest = second[: span[0]].replace(old, new), second[span[1] :].replace(old, new)
    chain = sha256(chain_of(first).encode() + begin + rest).hexdigest()[:16]
    forged = b'%s"chain":"%s",%s' % (begin, chain.encode(), rest)
    with pytest.raises(MirrorRefused) as refused:
        Arrivals("east", 0, Chain()).keys([first, forged])
    assert refused.value.n == 2
