"""A graph that goes to a moment is, quad for quad, the graph of a node that stopped there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyoxigraph import Quad
from rookery.projections.graph import Graph
from rookery.schemas import Event, MessageRecorded, RunFailed

from ..colony import Colony, fact
from .histories import histories

pytestmark = pytest.mark.usefixtures("small_bounds")
relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def stopped_at(vector: dict[str, int], colony: Colony, folder: Path) -> set[Quad]:
    """What the graph of a node has that never got any further."""
    with Graph.open(folder, colony.log) as one:
        one.go_to(vector)
        return set(one.store)


@relaxed
@given(history=histories, data=st.data())
def test_going_to_any_moment_from_any_other_gives_the_graph_of_a_node_that_stopped_there(
    folders: Iterator[Path], history: dict[str, list[Event]], data: st.DataObject
) -> None:
    with Colony(next(folders)) as colony, Graph.open(next(folders), colony.log) as one:
        for origin, happened in history.items():
            colony.append(happened, origin)
        one.catch_up()
        for _ in range(3):
            moment = {
                origin: n for origin, happened in history.items() if (n := data.draw(st.integers(0, len(happened))))
            }
            one.go_to(moment)
            assert one.vector() == moment
            assert set(one.store) == stopped_at(moment, colony, next(folders))


def test_what_an_event_says_does_not_follow_from_what_follows_from_it(folders: Iterator[Path]) -> None:
    """An inverse leads back to where one came from: no reason for anything to be there."""
    with Colony(next(folders)) as colony, Graph.open(next(folders), colony.log) as one:
        colony.append([fact(MessageRecorded(run_id="r", step=0, role="user", agent_id="a"), "m")])
        colony.append([fact(RunFailed(agent_id="a", error="it fell"), "r")])
        one.catch_up()
        for moment in ({"here": 1}, {}):
            one.go_to(moment)
            assert set(one.store) == stopped_at(moment, colony, next(folders))
