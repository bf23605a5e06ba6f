"""Agents' processes are killed in the midst of their work, and each assignment ends exactly once, with another."""

from __future__ import annotations

import pytest
from rookery.ops.bench.assigning import survive


@pytest.mark.timeout(180)
def test_each_assignment_ends_once_and_nobody_dead_is_given_any() -> None:
    survived = survive(
        assignments=40, processes=3, agents_each=3, killed_share=0.34, heartbeat_seconds=0.5, work_seconds=0.3
    )
    assert survived.ended_once == survived.assignments
    assert survived.given_to_the_dead == 0
    assert survived.released > 0
