"""A cluster that lost a server is told of, and goes on serving."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec
from rookery.bus import Cluster, Replica, StreamState
from rookery.ops.cli.status import _server
from rookery.ops.health import Health, state_of_bus
from rookery.ops.status import ReplicaStatus, replicas_in

URL = "nats://a:4222,nats://b:4222,nats://c:4222"


def held(*replicas: Replica, leader: str = "a") -> StreamState:
    return StreamState(datetime.now(UTC), 1, 9, 9, 900, Cluster(3, leader, replicas))


WELL = Replica("b", current=True, offline=False, lag_events=0)
BEHIND = Replica("c", current=False, offline=False, lag_events=7)
GONE = Replica("c", current=True, offline=True, lag_events=0)


def test_a_server_that_could_not_take_over_degrades_the_bus_and_not_the_node() -> None:
    for unwell in (BEHIND, GONE):
        state, reason = state_of_bus(URL, held(WELL, unwell), answers=True)
        assert (state, reason) == ("degraded", "c can't take over: gone, or behind a")
        health = Health()
        health.set("bus", state, reason)
        assert health.is_ready


def test_a_whole_cluster_and_a_single_server_are_ready() -> None:
    alone = StreamState(datetime.now(UTC), 1, 9, 9, 900)
    for found in (held(WELL, WELL._replace(server="c")), alone, None):
        assert state_of_bus(URL, found, answers=True) == ("ready", "")


def test_a_bus_that_does_not_answer_has_failed() -> None:
    health = Health()
    health.set("bus", *state_of_bus(URL, held(WELL), answers=False))
    assert health.subsystems["bus"].state == "failed"
    assert not health.is_ready


def test_the_status_names_every_server_the_one_that_leads_first() -> None:
    assert replicas_in(held(WELL, BEHIND)) == [
        ReplicaStatus("a", True, True, 0),
        ReplicaStatus("b", False, True, 0),
        ReplicaStatus("c", False, False, 7),
    ]
    assert replicas_in(held(WELL, leader=""))[0].server == "b"
    assert replicas_in(None) == []
    shown = [_server(one) for one in msgspec.to_builtins(replicas_in(held(WELL, BEHIND)))]
    assert [click.unstyle(one) for one in shown] == ["a leads", "b", "c can't take over"]
