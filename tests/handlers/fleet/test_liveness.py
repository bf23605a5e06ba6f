"""Who falls silent is suspected, asked, declared dead and evicted, each in its time; by a clock that tests hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.handlers.fleet.beats import BEAT_BYTES_MAX, Beat, beat_subject, beating, read_beat
from rookery.handlers.fleet.liveness import GONE_MAX, Due, Tracker, after
from rookery.handlers.fleet.registry import AgentRecord
from rookery.schemas import (
    AgentHeartbeatSent,
    AgentRegistered,
    AgentStateChanged,
    AgentUnregistered,
    AgentUpdated,
    EventData,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
INTERVAL = 10.0
DAY = 86_400.0


class World:
    """A tracker, a clock, and a registry that decides at once what is due."""

    def __init__(self, *, evict_seconds: float = DAY, gone_max: int = GONE_MAX) -> None:
        self.tracker = Tracker(evict_seconds=evict_seconds, gone_max=gone_max)
        self.now = 0.0
        self.told: list[tuple[float, str, str]] = []

    def register(self, agent_id: str = "a", *, incarnation: int | None = 1, **told: Any) -> None:
        told.setdefault("heartbeat_interval_seconds", INTERVAL)
        self.happen(agent_id, AgentRegistered(name=agent_id, incarnation=incarnation, **told))

    def happen(self, agent_id: str, fact: EventData) -> None:
        self.tracker.take(agent_id, fact, NOON + timedelta(seconds=self.now), self.now)

    def beat(self, agent_id: str = "a", **said: Any) -> str | None:
        return self.tracker.hear(agent_id, Beat(time=NOON, **said), self.now, at=NOON)

    def until(self, now: float) -> None:
        """Let the time pass, and decide everything in the moment that it is due."""
        while (at := self.tracker.next_at()) is not None and at <= now:
            self.now = max(self.now, at)
            for due in list(self.tracker.due(self.now)):
                self.decide(due)
        self.now = now

    def decide(self, due: Due) -> None:
        state = {"suspect": "suspect", "revive": "alive", "expire": "expired", "evict": "evicted"}[due.step]
        self.told.append((self.now, due.agent_id, state))
        self.happen(due.agent_id, AgentStateChanged(state=state, incarnation=due.incarnation))  # type: ignore[arg-type]

    @property
    def states(self) -> list[str]:
        return [state for _, _, state in self.told]


def test_the_silent_are_suspect_after_a_quarter_late_and_dead_within_two_intervals() -> None:
    world = World()
    world.register()
    world.until(3 * INTERVAL)
    assert world.told == [(12.5, "a", "suspect"), (17.5, "a", "expired")]
    world.until(17.5 + DAY)
    assert world.told[2:] == [(17.5 + DAY, "a", "evicted")]
    world.until(9 * DAY)
    assert len(world.told) == 3


def test_who_beats_stays_alive_and_costs_no_decision() -> None:
    world = World()
    world.register()
    for beat in range(1, 100):
        world.until(beat * INTERVAL)
        assert world.beat() is None
    assert world.told == []
    world.until(99 * INTERVAL + 2 * INTERVAL)
    assert world.states == ["suspect", "expired"]


@pytest.mark.parametrize("sign", ["beat", "event"])
def test_a_suspect_that_gives_a_sign_of_life_is_alive_again(sign: str) -> None:
    world = World()
    world.register()
    world.until(15)
    world.beat() if sign == "beat" else world.happen("a", AgentHeartbeatSent())
    world.until(15 + 12.4)
    assert world.told == [(12.5, "a", "suspect"), (15, "a", "alive")]
    world.until(100)
    assert world.told[2:] == [(27.5, "a", "suspect"), (32.5, "a", "expired")]


def test_who_answers_before_the_suspicion_is_durable_is_alive_again_as_soon_as_it_is() -> None:
    world = World()
    world.register()
    world.now = 12.5
    [due] = world.tracker.due(12.5)
    world.now = 12.6
    world.beat()
    world.now = 12.7
    world.decide(due)
    world.until(13)
    assert world.told == [(12.7, "a", "suspect"), (12.7, "a", "alive")]
    world.until(40)
    assert world.told[2:] == [(25.1, "a", "suspect"), (30.1, "a", "expired")]


def test_the_dead_and_those_who_live_anew_elsewhere_are_not_heard() -> None:
    world = World()
    assert world.beat() == "unknown"
    world.register()
    world.until(20)
    assert world.beat() == "fenced"
    world.register(incarnation=2)
    assert world.beat(incarnation=1) == "fenced"
    assert world.beat(incarnation=2) is None
    assert world.beat() is None
    world.happen("a", AgentUnregistered(incarnation=2))
    assert world.beat(incarnation=2) == "fenced"
    assert world.tracker.counts == {"unknown": 1, "fenced": 3, "taken": 2}


def test_a_beat_of_another_life_keeps_nobody_alive() -> None:
    world = World()
    world.register(incarnation=2)
    for second in range(1, 20):
        world.until(float(second))
        world.beat(incarnation=1)
    assert world.states == ["suspect", "expired"]


def test_who_registers_anew_begins_with_a_full_interval() -> None:
    world = World()
    world.register()
    world.until(18)
    world.register(incarnation=2)
    world.until(30.4)
    assert world.states == ["suspect", "expired"]
    world.until(30.5)
    assert world.states[2:] == ["suspect"]


def test_agents_without_an_interval_are_not_watched_until_they_have_one() -> None:
    world = World()
    world.register(heartbeat_interval_seconds=None)
    world.register("b", heartbeat_interval_seconds=0.0)
    world.until(10 * DAY)
    assert world.told == []
    world.happen("a", AgentUpdated(name="a", heartbeat_interval_seconds=2.0, incarnation=1))
    world.until(10 * DAY + 5)
    assert world.states == ["suspect", "expired"]


def test_an_agent_that_registered_without_an_incarnation_is_watched_as_the_newest() -> None:
    world = World()
    world.register(incarnation=None)
    assert world.beat(incarnation=7) is None
    [due] = world.tracker.due(100.0)
    assert (due.step, due.incarnation) == ("suspect", None)
    world.happen("a", AgentStateChanged(state="suspect", incarnation=7))
    assert world.tracker.record("a").incarnation == 7


def test_what_is_due_and_does_not_come_to_pass_is_due_again() -> None:
    world = World()
    world.register()
    assert [due.step for due in world.tracker.due(13.0)] == ["suspect"]
    assert list(world.tracker.due(13.0)) == []
    assert [due.step for due in world.tracker.due(14.0)] == ["suspect"]


def test_after_a_time_without_hearing_everybody_has_a_full_interval_again() -> None:
    world = World()
    world.register("a")
    world.register("b")
    world.until(13)
    world.now = 300.0
    world.tracker.grace(300.0)
    world.until(312.4)
    assert world.states == ["suspect", "suspect"]
    world.until(320)
    assert world.told[2:] == [(317.5, "a", "expired"), (317.5, "b", "expired")]


def test_a_watch_that_begins_gives_grace_and_remembers_how_long_the_dead_are_dead() -> None:
    world = World(evict_seconds=100.0)
    told = AgentRegistered(name="a", heartbeat_interval_seconds=INTERVAL)
    world.tracker.know("a", AgentRecord("alive", 3, told, NOON), 0.0, ago_seconds=1e6)
    world.tracker.know("b", AgentRecord("expired", 1, told, NOON), 0.0, ago_seconds=70.0)
    world.until(30)
    assert world.told == [(12.5, "a", "suspect"), (17.5, "a", "expired"), (30.0, "b", "evicted")]


def test_the_last_sign_of_life_is_told() -> None:
    world = World()
    world.register()
    assert world.tracker.seen("a") is None
    world.beat(active_assignments=3)
    assert world.tracker.seen("a") == (NOON, 3)
    assert world.tracker.seen("nobody") is None


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (b"", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 400, "malformed"),
        (b'{"time":"2026-11-20T12:00:00"}', "malformed"),
        (b'{"time":"2026-11-20T12:00:00Z","incarnation":0}', "malformed"),
        (b'{"time":"2026-11-20T12:00:00Z","active_assignments":-1}', "malformed"),
        (b'{"incarnation":1}', "malformed"),
        (b'{"time":"2026-11-20T12:00:00Z","more":"%s"}' % (b"x" * BEAT_BYTES_MAX), "malformed"),
        (b'{"time":"2026-11-20T12:01:01Z"}', "future"),
        (b'{"time":"9999-12-31T23:59:59Z"}', "future"),
    ],
)
def test_a_beat_that_is_none_or_comes_from_the_future_is_told_apart(payload: bytes, fault: str) -> None:
    assert read_beat(payload, now=NOON) == fault


def test_a_beat_may_hold_what_is_not_known_yet_and_be_a_little_ahead() -> None:
    said = b'{"time":"2026-11-20T12:00:59Z","incarnation":2,"mood":"fine"}'
    assert read_beat(said, now=NOON) == Beat(time=NOON + timedelta(seconds=59), incarnation=2)
    assert beating(beat_subject("a.b>c*")) == "a.b>c*"


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 25.0),
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["beat", "beat", "register", "leave"]),
        ),
        max_size=40,
    )
)
def test_nobody_who_beats_in_time_dies_and_nobody_silent_outlives_two_intervals(
    steps: list[tuple[float, str, str]],
) -> None:
    world = World()
    lives: dict[str, int] = {}
    seen: dict[str, float] = {}
    for pause, agent_id, step in steps:
        world.until(world.now + pause)
        alive = world.tracker.record(agent_id).state in ("alive", "suspect")
        if step == "register":
            lives[agent_id] = lives.get(agent_id, 0) + 1
            world.register(agent_id, incarnation=lives[agent_id])
            seen[agent_id] = world.now
        elif alive and step == "beat":
            world.beat(agent_id, incarnation=lives[agent_id])
            seen[agent_id] = world.now
        elif alive:
            world.happen(agent_id, AgentUnregistered(incarnation=lives[agent_id]))
        for one, at in seen.items():
            state = world.tracker.record(one).state
            if state in ("alive", "suspect"):
                assert world.now <= at + 1.75 * INTERVAL
            if state == "expired":
                assert world.now >= at + 1.75 * INTERVAL


def test_ten_thousand_agents_that_beat_cost_little_more_than_their_beats() -> None:
    world = World()
    for number in range(10_000):
        world.register(f"a{number}")
    for step in range(1, 31):
        world.now = step * 1.0
        for number in range(step % 10, 10_000, 10):
            world.beat(f"a{number}")
        assert list(world.tracker.due(world.now)) == []
    assert len(world.tracker._heap) == 10_000


def test_the_silence_of_an_earlier_life_is_not_held_against_a_new_one() -> None:
    world = World()
    world.register(incarnation=1)
    world.now = 18.0
    told = AgentRegistered(name="a", heartbeat_interval_seconds=INTERVAL)
    world.tracker.correct("a", AgentRecord("alive", 2, told, NOON), world.now)  # it registered anew, unheard so far
    assert list(world.tracker.due(18.5)) == []
    world.until(31.0)
    assert world.told == [(30.5, "a", "suspect")]


def test_an_agent_that_dies_and_comes_back_again_and_again_has_one_place() -> None:
    world = World()
    for life in range(1, 501):
        world.register(incarnation=life)
        world.until(world.now + 2 * INTERVAL)
        assert world.states[-1] == "expired"
    assert len(world.tracker._heap) < 100


def test_what_comes_of_an_agent_from_the_end_of_time_comes_no_earlier() -> None:
    assert after(datetime.max.replace(tzinfo=UTC), NOON) == datetime.max.replace(tzinfo=UTC)


def test_of_who_is_gone_only_that_much_is_kept() -> None:
    world = World()
    world.register(metadata={"note": "x" * 1_000})
    world.happen("a", AgentUnregistered(incarnation=1))
    assert world.tracker.record("a") == AgentRecord("unregistered", 1, None, NOON)
    assert world.beat(incarnation=1) == "fenced"


def test_of_the_gone_no_more_are_kept_than_may_be_and_those_who_went_last() -> None:
    world = World(gone_max=2)
    world.tracker.knows_the_past = True
    for name in ("a", "b", "c", "alive"):
        world.register(name)
        assert world.tracker.is_complete
    for name in ("b", "a"):
        world.happen(name, AgentUnregistered())
    world.register("b", incarnation=2)
    for name in ("b", "c"):
        assert world.tracker.is_complete
        world.happen(name, AgentUnregistered())
    assert len(world.tracker) == 3
    assert not world.tracker.is_complete  # who is unknown by now may have registered
    assert {name: world.beat(name) for name in ("a", "b", "c", "alive")} == {
        "a": "unknown",
        "b": "fenced",
        "c": "fenced",
        "alive": None,
    }
    world.tracker.correct("a", AgentRecord(), world.now)
    world.until(DAY)
    world.register("a", incarnation=2)
    assert world.beat("a") is None


def test_of_the_gone_that_are_known_at_the_beginning_no_more_are_kept_either() -> None:
    tracker = Tracker(evict_seconds=DAY, gone_max=10)
    for number in range(100):
        tracker.know(f"a-{number}", AgentRecord(state="evicted"), 0.0)
    tracker.knows_the_past = True
    assert len(tracker) == 10
    assert not tracker.is_complete
