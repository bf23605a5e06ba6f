"""A line of the log: bytes in front of bytes, and exactly the same bytes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rookery.eventstore.line import Letter, event_line, letter_line, number_in, parse

numbers = st.integers(1, 2**63 - 1)
moments = st.datetimes(timezones=st.just(UTC))


@given(numbers, numbers, moments, st.binary())
def test_published_bytes_are_cut_out_of_their_line_exactly(n: int, sequence: int, at: datetime, rest: bytes) -> None:
    payload = b'{"' + rest
    record = parse("here", event_line(n, sequence, at, payload))
    assert (record.origin, record.n, record.sequence, record.recorded_time) == ("here", n, sequence, at)
    assert record.payload == payload
    assert record.letter is None


@given(numbers, numbers, moments, st.binary(), st.text(st.characters(codec="utf-8")), st.none() | numbers)
def test_what_is_kept_whole_comes_back_whole(
    n: int, sequence: int, at: datetime, payload: bytes, subject: str, used_by: int | None
) -> None:
    letter = Letter(payload, subject, used_by)
    record = parse("here", letter_line(n, sequence, at, letter))
    assert record.payload == payload
    assert record.letter == letter
    assert b"\n" not in record.line


def test_a_line_begins_with_its_address_and_arrival() -> None:
    at = datetime(2026, 11, 20, 14, 53, 4, 530453, tzinfo=timezone(timedelta(hours=1)))
    assert event_line(17, 23, at, b'{"id":"x"}') == (
        b'{"n":17,"seq":23,"recordedtime":"2026-11-20T13:53:04.530453Z","id":"x"}'
    )


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b'{"n":0,"seq":1,"recordedtime":"2026-11-20T13:53:04.530453Z",}', b'{"n":1,"seq":1,"x":1}'],
)
def test_what_does_not_begin_so_is_no_line(line: bytes) -> None:
    with pytest.raises(ValueError, match="begins with"):
        parse("here", line)
    with pytest.raises(ValueError, match="begins with"):
        number_in(line)
