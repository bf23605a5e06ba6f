"""Timings: every duration is in the buckets that it is not too long for."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.ops.timings import BOUNDS_SECONDS, Timings


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.floats(0, 20), st.sampled_from(BOUNDS_SECONDS))))
def test_a_bucket_holds_all_that_took_at_most_so_long(durations: list[float]) -> None:
    timings = Timings()
    for seconds in durations:
        timings.observe(seconds)
    for bound, count in timings.buckets:
        assert count == sum(seconds <= float(bound) for seconds in durations)
    assert timings.buckets[-1] == ("+Inf", timings.count)
    assert math.isclose(timings.sum_seconds, sum(durations), abs_tol=1e-9)
