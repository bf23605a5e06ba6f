"""Whatever fails and whenever the process is killed: each entity in order, and what reactions tell exactly once."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st
from rookery.bus import Bus, NatsBus
from rookery.handlers.reactions import Answer, Cause, Command, Discard, Reactions, Redrive, Runner, Tell, reaction_id
from rookery.schemas import AgentRegistered, InsightRecorded, ReactionParked, ReactionRedriven, RunStarted

from .conftest import World, started

RUNS = ["x", "y", "z"]
happenings = st.tuples(st.just("happens"), st.sampled_from(RUNS))
failures = st.tuples(st.just("fails"), st.integers(1, 4))
others = st.tuples(st.sampled_from(["act", "turn", "stop", "kill", "redrive", "discard"]), st.just(""))
histories = st.lists(st.one_of(happenings, happenings, failures, others), max_size=30)


class Answering:
    """Two reactions to a run's start, which fail as often as they are told to; what they did is noted."""

    def __init__(self) -> None:
        self.failing = 0
        self.done: set[str] = set()  # by the log, when the process started
        self.again: list[str] = []
        self.effects: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)

    def tables(self) -> list[Reactions]:
        return [Reactions("notes", {RunStarted: [self.note, self.count]})]

    async def note(self, cause: Cause) -> Answer:
        self.effects[cause.entity.id].append((cause.n, "note"))
        self.again += [cause.address] if cause.address in self.done else []
        await asyncio.sleep(0)
        if self.failing:
            self.failing -= 1
            raise ConnectionError("the pager is busy")
        return [Tell(InsightRecorded(kind="note", text=cause.data.task), cause.entity.id)] * 2

    async def count(self, cause: Cause) -> Answer:
        self.effects[cause.entity.id].append((cause.n, "count"))
        return None if cause.n % 2 else []


def in_order(effects: list[tuple[int, str]]) -> bool:
    """Whether, but for repetitions after a kill, each came behind the one before."""
    firsts = list(dict.fromkeys(effects))
    return firsts == sorted(firsts, key=lambda effect: (effect[0], effect[1] == "count"))


async def live(folder: Path, history: list[tuple[str, str | int]], bus: Bus | None = None) -> None:
    answering = Answering()
    world = World(folder, answering.tables, bus=bus)
    await world.start()
    discarded = set[str]()
    for number, (what, argument) in enumerate(history):
        match what:
            case "happens":
                await world.happen(started(f"task {number}"), str(argument))
            case "fails":
                answering.failing = int(argument)
            case "act":
                await world.act()
            case "turn":
                await world.ingest()
                await asyncio.sleep(0.002)
            case "stop" | "kill":
                await world.stop()
                await world.ingest()
                completed = [event.payload() for event in world.told("reaction.completed")]
                answering.done = {fact.cause for fact in completed if fact.reaction == "notes.note"}  # type: ignore[attr-defined]
                await world.start(forgetful=what == "kill")
            case "redrive" | "discard":
                discarded |= await settle(world, what)
    answering.failing = 0
    await world.act()
    while world.runner and world.runner.parked():
        await settle(world, "redrive")
        await world.act()
    check(world, answering, discarded)
    await world.close()


async def settle(world: World, what: str) -> set[str]:
    """Re-drive or discard all that is parked; what was discarded."""
    assert world.runner
    discarded = set[str]()
    for held in world.runner.parked():
        data = Redrive() if what == "redrive" else Discard(reason="not worth it")
        try:
            await world.runner.lives.handle(Command.of(data, subject=held.id, source="/people/ann"))
        except Exception:  # asked for before, and not yet heard of
            continue
        discarded |= {held.id} if what == "discard" else set()
    return discarded


def check(world: World, answering: Answering, discarded: set[str], *, in_sequence: bool = True) -> None:
    assert answering.again == [], "what the log says is done is not done again"
    causes = [event.id for event in world.told("run.started")]
    told = Counter(event.causationid for event in world.told("insight.recorded"))
    gone = {event.causationid or event.subject for event in world.told("reaction.parked") if event.subject in discarded}
    assert {cause: told[cause] for cause in causes} == {cause: 0 if cause in gone else 2 for cause in causes}
    assert not list(world.log.dead_letters()), "nothing was told twice under one id with other bytes"
    ends = Counter(event.subject for end in ("completed", "discarded") for event in world.told(f"reaction.{end}"))
    assert set(ends.values()) <= {1}, "a reaction ends once"
    for effects in answering.effects.values() if in_sequence else ():
        assert in_order(effects), effects


@settings(max_examples=60, deadline=None)
@given(histories)
@example(
    [("fails", 2), ("happens", "x"), ("happens", "x"), ("act", ""), ("kill", ""), ("redrive", ""), ("happens", "x")]
)
@example([("fails", 4), ("happens", "x"), ("act", ""), ("discard", ""), ("happens", "x"), ("stop", ""), ("act", "")])
def test_each_entity_in_order_and_what_is_told_exactly_once(history: list[tuple[str, str | int]]) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(asyncio.wait_for(live(Path(folder), history), 60))


async def test_it_holds_on_a_real_bus(tmp_path: Path, nats_bus: NatsBus) -> None:
    history: list[tuple[str, str | int]] = [
        ("fails", 3), ("happens", "x"), ("happens", "y"), ("act", ""), ("happens", "x"), ("kill", ""), ("turn", ""),
        ("redrive", ""), ("happens", "y"), ("kill", ""), ("act", ""), ("fails", 2), ("happens", "z"), ("act", ""),
        ("stop", ""), ("discard", ""), ("happens", "z"),
    ]  # fmt: skip
    await live(tmp_path, history, nats_bus)


async def test_two_who_react_to_the_same_tell_it_once(tmp_path: Path) -> None:
    """As where a process that was taken for dead is not."""
    answering = Answering()
    world = World(tmp_path, answering.tables)
    other = Runner(world.log, world.bus, "local", answering.tables(), tmp_path / "other.json")
    await world.start()
    running = asyncio.create_task(other.run())
    for number in range(20):
        await world.happen(started(str(number)), RUNS[number % 3])
        await world.ingest()
        other.wake()
    while not (other.is_idle and world.runner and world.runner.is_idle):
        await world.act()
        other.wake()
        await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.wait([running])
    check(world, answering, set(), in_sequence=False)
    await world.close()


async def test_what_happened_before_a_reaction_was_there_is_left_alone_and_the_log_says_so(tmp_path: Path) -> None:
    answering = Answering()
    world = World(tmp_path, answering.tables)
    await world.happen(started("old"), "x")
    await world.happen(AgentRegistered(name="a"), "a")
    await world.start()
    await world.happen(started("new"), "x")
    await world.act()
    assert [event.payload().text for event in world.told("insight.recorded")] == ["new", "new"]  # type: ignore[attr-defined]
    installed = world.told("reaction.installed")
    assert {event.subject for event in installed} == {"notes.note", "notes.count"}
    world.path.unlink()
    await world.stop()
    world.path.unlink()
    await world.start()
    await world.act()
    assert len(world.told("insight.recorded")) == 2
    await world.close()


async def test_what_another_parked_and_had_redriven_meanwhile_is_parked_here_if_it_fails_again(tmp_path: Path) -> None:
    held = asyncio.Event()

    async def call(cause: Cause) -> Answer:
        await held.wait()
        raise ConnectionError("the pager is busy")

    world = World(tmp_path, lambda: [Reactions("notes", {RunStarted: [call]})])
    runner = await world.start()
    await world.happen(started("x"), "x")
    await world.ingest()
    (caused,) = world.told("run.started")
    life = {"reaction": "notes.call", "cause": "local:1", "entity": "run/x"}
    for fact in (ReactionParked(**life, attempts=2, error="busy"), ReactionRedriven(**life)):
        await world.happen(fact, reaction_id(caused.id, "notes.call"))
    await world.ingest()
    while runner.position < 3:
        await asyncio.sleep(0.001)
    held.set()
    async with asyncio.timeout(20):
        await world.act()
    assert [one.reaction for one in runner.parked()] == ["notes.call"]
    await world.close()


async def test_what_came_since_a_start_whose_note_is_lost_is_answered(tmp_path: Path) -> None:
    world = World(tmp_path, Answering().tables)
    for task in ("old", "new", "newer"):
        await world.happen(started(task), "x")
    await world.take(1)
    await world.start(is_behind=True)  # it says on the bus that it reacts behind "old"
    await world.stop()
    world.path.unlink()  # the power went, before the log heard of that
    await world.take(2)
    await world.start(is_behind=True)
    await world.act()
    told = [event.payload().text for event in world.told("insight.recorded")]  # type: ignore[attr-defined]
    assert told == ["new", "new", "newer", "newer"]
    assert len(world.told("reaction.installed")) == 2
    await world.close()
