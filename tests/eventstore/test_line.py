"""A line of the log: bytes in front of bytes, and exactly the same bytes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rookery.eventstore.line import (
    NO_CHAIN,
    Chain,
    Letter,
    chain_of,
    event_line,
    is_next,
    letter_line,
    number_in,
    parse,
)

numbers = st.integers(1, 2**63 - 1)
moments = st.datetimes(timezones=st.just(UTC))


@given(numbers, numbers, moments, st.binary())
def test_published_bytes_are_cut_out_of_their_line_exactly(n: int, sequence: int, at: datetime, rest: bytes) -> None:
    payload = b'{"' + rest
    record = parse("here", event_line(n, sequence, at, payload, NO_CHAIN))
    assert (record.origin, record.n, record.sequence, record.recorded_time) == ("here", n, sequence, at)
    assert record.payload == payload
    assert record.letter is None


@given(numbers, numbers, moments, st.binary(), st.text(st.characters(codec="utf-8")), st.none() | numbers)
def test_what_is_kept_whole_comes_back_whole(
    n: int, sequence: int, at: datetime, payload: bytes, subject: str, used_by: int | None
) -> None:
    letter = Letter(payload, subject, used_by)
    record = parse("here", letter_line(n, sequence, at, letter, NO_CHAIN))
    assert record.payload == payload
    assert record.letter == letter
    assert b"\n" not in record.line


def test_a_line_begins_with_its_address_and_arrival() -> None:
    at = datetime(2026, 11, 20, 14, 53, 4, 530453, tzinfo=timezone(timedelta(hours=1)))
    plain = b'{"n":17,"seq":23,"recordedtime":"2026-11-20T13:53:04.530453Z","id":"x"}'
    chain = sha256(b"0123456789abcdef" + plain).hexdigest()[:16].encode()
    assert event_line(17, 23, at, b'{"id":"x"}', "0123456789abcdef") == (
        b'{"n":17,"seq":23,"chain":"%s","recordedtime":"2026-11-20T13:53:04.530453Z","id":"x"}' % chain
    )


def lines_of(count: int) -> list[bytes]:
    lines, at = [], NO_CHAIN
    for n in range(1, count + 1):
        lines.append(event_line(n, n, datetime(2026, 11, 20, tzinfo=UTC), b'{"id":"%d"}' % n, at))
        at = chain_of(lines[-1])
    return lines


def old_line(n: int) -> bytes:
    return b'{"n":%d,"seq":%d,"recordedtime":"2026-11-20T13:53:04.530453Z","id":"x"}' % (n, n)


def test_each_line_follows_the_one_before_and_no_other() -> None:
    lines = lines_of(5)
    chain = Chain()
    assert all(is_next(line, n, chain) for n, line in enumerate(lines, 1))
    assert chain.at == chain_of(lines[-1])
    for n, line in enumerate(lines):
        for other in set(range(5)) - {n}:
            before = Chain.after(lines[other - 1]) if other else Chain()
            assert not before.follow(line)


@given(st.integers(0, 4), st.data())
def test_whatever_changes_in_a_line_it_no_longer_follows(n: int, data: st.DataObject) -> None:
    line = bytearray(lines_of(5)[n])
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    chain = Chain.after(lines_of(5)[n - 1]) if n else Chain()
    assert not is_next(bytes(line), n + 1, chain)


def test_a_line_of_the_first_version_is_chained_to_by_its_hash_and_none_comes_after_a_chain() -> None:
    at = sha256(old_line(2)).hexdigest()[:16]
    chained = event_line(3, 3, datetime(2026, 11, 20, tzinfo=UTC), b'{"id":"x"}', at)
    chain = Chain()
    assert [is_next(line, n, chain) for n, line in enumerate([old_line(1), old_line(2), chained], 1)] == [True] * 3
    assert not is_next(old_line(4), 4, chain)


def test_where_the_chain_is_not_known_one_line_is_believed() -> None:
    lines = lines_of(3)
    chain = Chain(None)
    assert is_next(lines[1], 2, chain)
    assert not is_next(lines[1], 2, chain)


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b'{"n":0,"seq":1,"recordedtime":"2026-11-20T13:53:04.530453Z",}', b'{"n":1,"seq":1,"x":1}'],
)
def test_what_does_not_begin_so_is_no_line(line: bytes) -> None:
    with pytest.raises(ValueError, match="begins with"):
        parse("here", line)
    with pytest.raises(ValueError, match="begins with"):
        number_in(line)
