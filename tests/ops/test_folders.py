"""A folder as a queue: what is dropped is given once, whatever happens, and its outcome lands beside it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rookery.handlers.transports import Call, Endpoint, Transports
from rookery.ops.assignments import Standing, Wanted
from rookery.ops.folders import FolderQueue, FolderUnusable
from rookery.ops.folders import queue as queues
from rookery.ops.folders import task_files as files
from rookery.ops.folders.offices import NotNow
from rookery.ops.folders.watched import SUBSYSTEM
from rookery.ops.health import Health

ADD = {"capability": "add", "input": [1, 2]}


class Colony:
    """An office that remembers what it was given, and does it when it is told to."""

    def __init__(self) -> None:
        self.given: dict[str, Wanted] = {}
        self.ended: dict[str, Standing] = {}
        self.is_away = False

    async def give(self, wanted: Wanted) -> Standing:
        if self.is_away:
            raise NotNow("the bus is away")
        assert wanted.id is not None
        self.given.setdefault(wanted.id, wanted)
        return self.ended.get(wanted.id, Standing(assignment_id=wanted.id, status="pending"))

    async def over(self, ids: Collection[str]) -> list[Standing]:
        if self.is_away:
            raise NotNow("the bus is away")
        return [self.ended[one] for one in ids if one in self.ended]

    def do(self, work: Callable[[Any], Any] = sum) -> None:
        """End all that was given and has not ended."""
        for one, wanted in self.given.items():
            try:
                done: dict[str, Any] = {"status": "completed", "result": work(wanted.input)}
            except Exception as error:
                done = {"status": "failed", "error": str(error)}
            self.ended.setdefault(one, Standing(assignment_id=one, agent_id="adder", **done))


@pytest.fixture
def colony() -> Colony:
    return Colony()


@pytest.fixture(autouse=True)
def _looks_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "LOOKING_SHARE", 0.0)


def queue_of(folder: Path, colony: Colony) -> FolderQueue:
    return FolderQueue(folder, colony, settle_seconds=0.0)


async def look_at_all(queue: FolderQueue) -> None:
    """Also at what was only written to, which the folder itself doesn't tell."""
    queue._looked_at_all = float("-inf")
    await queue.look()


def drop(folder: Path, name: str, content: Any = ADD) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text)


def told(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


async def test_what_is_dropped_is_given_and_its_result_lands_beside_it(tmp_path: Path, colony: Colony) -> None:
    drop(tmp_path, "sum.json")
    queue = queue_of(tmp_path, colony)
    await queue.look()
    assert not (tmp_path / "sum.result.json").exists()
    colony.do()
    await queue.look()
    result = told(tmp_path, "sum.result.json")
    assert (result["status"], result["result"], result["agent_id"]) == ("completed", 3, "adder")
    assert queue.is_done
    assert sorted(os.listdir(tmp_path)) == ["sum.json", "sum.result.json"]


async def test_what_fails_says_so_beside_it(tmp_path: Path, colony: Colony) -> None:
    drop(tmp_path, "sum.json", ADD | {"input": ["x"]})
    queue = queue_of(tmp_path, colony)
    await queue.look()
    colony.do()
    await queue.look()
    assert "unsupported operand" in told(tmp_path, "sum.error.json")["error"]
    assert queue.counts == {"taken": 1, "failed": 1}


async def test_a_file_that_still_changes_is_left_alone(
    tmp_path: Path, colony: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(queues, "monotonic", lambda: now)
    queue = FolderQueue(tmp_path, colony)
    for text in ('{"capability"', '{"capability": "add", ', json.dumps(ADD)):
        drop(tmp_path, "sum.json", text)
        await queue.look()
        now += 0.9
    assert colony.given == {}
    now += 0.2
    await queue.look()
    assert [wanted.input for wanted in colony.given.values()] == [[1, 2]]


async def test_names_that_are_no_tasks_are_left_alone(tmp_path: Path, colony: Colony) -> None:
    for name in (".sum.json", ".sum.json.new", "sum.json.part", "old.result.json", "old.error.json", "photo.png"):
        drop(tmp_path, name)
    (tmp_path / "folder").mkdir()
    queue = queue_of(tmp_path, colony)
    await queue.look()
    assert colony.given == {}
    assert len(os.listdir(tmp_path)) == 7


async def test_a_restart_does_nothing_twice_and_loses_nothing(tmp_path: Path, colony: Colony) -> None:
    drop(tmp_path, "done.json")
    drop(tmp_path, "under way.json")
    first = queue_of(tmp_path, colony)
    await first.look()
    done, _ = sorted(colony.given, key=lambda one: str(colony.given[one].metadata))
    colony.ended[done] = Standing(assignment_id=done, status="completed", result=3)
    await first.look()
    mtime = (tmp_path / "done.result.json").stat().st_mtime_ns
    second = queue_of(tmp_path, colony)
    await second.look()
    colony.do()
    await second.look()
    assert len(colony.given) == 2
    assert told(tmp_path, "under way.result.json")["result"] == 3
    assert (tmp_path / "done.result.json").stat().st_mtime_ns == mtime


async def test_the_same_file_again_is_the_same_assignment_and_another_content_another(
    tmp_path: Path, colony: Colony
) -> None:
    queue = queue_of(tmp_path, colony)
    drop(tmp_path, "sum.json")
    await queue.look()
    colony.do()
    await queue.look()
    (tmp_path / "sum.result.json").unlink()
    drop(tmp_path, "sum.json")
    await queue.look()
    assert (tmp_path / "sum.result.json").exists()
    assert len(colony.given) == 1
    drop(tmp_path, "sum.json", ADD | {"input": [2, 2]})
    await look_at_all(queue)
    colony.do()
    await queue.look()
    assert told(tmp_path, "sum.result.json")["result"] == 4
    assert len(colony.given) == 2


async def test_what_was_changed_meanwhile_gets_the_outcome_of_what_it_is_now(tmp_path: Path, colony: Colony) -> None:
    queue = queue_of(tmp_path, colony)
    drop(tmp_path, "sum.json")
    await queue.look()
    (first,) = colony.given
    drop(tmp_path, "sum.json", ADD | {"input": [2, 2]})
    await look_at_all(queue)
    colony.ended[first] = Standing(assignment_id=first, status="completed", result=3)
    await queue.look()
    assert not (tmp_path / "sum.result.json").exists()
    colony.do()
    await queue.look()
    assert told(tmp_path, "sum.result.json")["result"] == 4


async def test_an_id_of_its_own_makes_two_files_one_assignment(tmp_path: Path, colony: Colony) -> None:
    for name in ("a.json", "b.json"):
        drop(tmp_path, name, ADD | {"id": "as-1"})
    queue = queue_of(tmp_path, colony)
    await queue.look()
    colony.do()
    await queue.look()
    assert list(colony.given) == ["as-1"]
    assert told(tmp_path, "a.result.json")["result"] == told(tmp_path, "b.result.json")["result"] == 3


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("bad.json", "{", "no JSON object"),
        ("bad.json", "[]", "no JSON object"),
        ("bad.json", "{}", "capability"),
        ("bad.json", '{"capability": "add", "inputs": 1}', "inputs"),
        ("bad.json", '{"capability": "add", "timeout_seconds": -1}', "timeout_seconds"),
        ("bad.md", "Do something.", "name it as in code.review--bad.md"),
        ("bad.md", "---\ncapability: add\n", "has no end"),
        ("bad.md", "---\ncapability\n---\n", "takes lines as in"),
    ],
)
async def test_a_bad_file_is_named_and_left(
    tmp_path: Path, colony: Colony, name: str, content: str, reason: str
) -> None:
    drop(tmp_path, name, content)
    queue = queue_of(tmp_path, colony)
    await queue.look()
    outcome = f"{name.removesuffix('.json')}.error.json"
    assert reason in told(tmp_path, outcome)["error"]
    assert (tmp_path / name).read_text() == content
    drop(tmp_path, name if name.endswith(".json") else "add--bad.md")
    await look_at_all(queue)
    assert len(colony.given) == 1


async def test_what_is_no_plain_file_of_this_folder_is_refused(tmp_path: Path, colony: Colony) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    drop(tmp_path, "secret.json")
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    (folder / "gone.json").symlink_to(tmp_path / "nowhere.json")
    (folder / "deep.json").mkdir()
    os.mkfifo(folder / "pipe.json")
    (folder / "large.json").write_text(" " * (files.TASK_BYTES_MAX + 1))
    (folder / "bytes.json").write_bytes(b'{"capability": "\xff"}')
    queue = queue_of(folder, colony)
    await queue.look()
    assert colony.given == {}
    reasons = {path.name: told(folder, path.name)["error"] for path in folder.glob("*.error.json")}
    assert "is a link" in reasons["link.error.json"]
    assert "is a link" in reasons["gone.error.json"]
    assert "no plain file" in reasons["deep.error.json"]
    assert "no plain file" in reasons["pipe.error.json"]
    assert "more than" in reasons["large.error.json"]
    assert "not UTF-8" in reasons["bytes.error.json"]


async def test_names_of_all_alphabets_and_many_files(tmp_path: Path, colony: Colony) -> None:
    names = [f"Übung {n} задача \U0001f426.json" for n in range(200)]
    for n, name in enumerate(names):
        drop(tmp_path, name, ADD | {"input": [n]})
    queue = queue_of(tmp_path, colony)
    await queue.look()
    colony.do()
    await queue.look()
    found = [told(tmp_path, name.replace(".json", ".result.json"))["result"] for name in names]
    assert found == list(range(200))


async def test_names_that_no_event_can_carry_are_refused_and_those_too_long_left_alone(
    tmp_path: Path, colony: Colony
) -> None:
    (Path(os.fsdecode(bytes(tmp_path) + b"/\xff.json"))).write_text(json.dumps(ADD))
    drop(tmp_path, "x" * 230 + ".json")
    drop(tmp_path, "x" * 225 + ".json")
    said: list[str] = []
    queue = FolderQueue(tmp_path, colony, settle_seconds=0.0, tell=said.append)
    await queue.look()
    colony.do()
    await queue.look()
    assert len(colony.given) == 1
    assert (tmp_path / ("x" * 225 + ".result.json")).exists()
    assert said[0] == "\ufffd.json: refused: its name is not UTF-8"


async def test_what_somebody_put_in_the_place_of_an_outcome_is_neither_followed_nor_waited_for(
    tmp_path: Path, colony: Colony
) -> None:
    folder, secret = tmp_path / "tasks", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("kept")
    for name in ("a", "b", "c"):
        drop(folder, f"{name}.json", ADD | {"metadata": {"name": name}})
    (folder / ".a.result.json.new").symlink_to(secret)
    (folder / "b.result.json").symlink_to(secret)
    os.mkfifo(folder / "c.result.json")
    queue = queue_of(folder, colony)
    await queue.look()
    colony.do()
    await queue.look()
    assert secret.read_text() == "kept"
    assert [told(folder, f"{name}.result.json")["result"] for name in "abc"] == [3, 3, 3]


async def test_a_folder_that_a_node_watches_is_an_agent_of_another(tmp_path: Path, colony: Colony) -> None:
    queue = queue_of(tmp_path, colony)
    async with Transports() as transports:
        endpoint = Endpoint.of("file", str(tmp_path))
        calls = [Call(id=f"as-{n}", capability="add", input=given) for n, given in enumerate(([1, 2], ["x"]))]
        invoking = [asyncio.create_task(transports.invoke(endpoint, call)) for call in calls]
        while not all(task.done() for task in invoking):
            await queue.look()
            colony.do()
            await asyncio.sleep(0.01)
        assert invoking[0].result() == 3
        assert "unsupported operand" in str(invoking[1].exception())
    assert set(colony.given) == {"as-0", "as-1"}
    assert os.listdir(tmp_path) == []


async def test_no_more_are_given_at_once_than_may_be(
    tmp_path: Path, colony: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "UNDER_WAY_MAX", 3)
    for n in range(7):
        drop(tmp_path, f"{n}.json")
    queue = queue_of(tmp_path, colony)
    for so_far in (3, 6, 7):
        await queue.look()
        assert len(colony.given) == so_far
        colony.do()
        await queue.look()
    assert queue.is_done


async def test_while_the_node_is_away_the_folder_waits(tmp_path: Path, colony: Colony) -> None:
    drop(tmp_path, "sum.json")
    queue = queue_of(tmp_path, colony)
    colony.is_away = True
    with pytest.raises(NotNow):
        await queue.look()
    assert os.listdir(tmp_path) == ["sum.json"]
    colony.is_away = False
    await queue.look()
    assert len(colony.given) == 1


async def test_a_task_that_was_taken_away_gets_no_result(tmp_path: Path, colony: Colony) -> None:
    drop(tmp_path, "sum.json")
    queue = queue_of(tmp_path, colony)
    await queue.look()
    (tmp_path / "sum.json").unlink()
    colony.do()
    await queue.look()
    assert os.listdir(tmp_path) == []
    assert queue.is_done


@pytest.mark.parametrize("failing", ["open", "fsync", "replace", "unlink"])
async def test_an_outcome_that_cannot_be_written_is_written_later(
    tmp_path: Path, colony: Colony, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    drop(tmp_path, "sum.json")
    queue = queue_of(tmp_path, colony)
    await queue.look()
    colony.do()
    where: Any = os if failing in ("open", "fsync") else Path
    with monkeypatch.context() as broken:
        real = getattr(where, failing)

        def fail(*arguments: Any, **options: Any) -> Any:
            if failing == "open" and "new" not in str(arguments[0]):
                return real(*arguments, **options)
            raise OSError(28, "No space left on device")

        broken.setattr(where, failing, fail)
        with pytest.raises(OSError, match="No space left"):
            await queue.look()
    await queue.look()
    await queue.look()
    assert told(tmp_path, "sum.result.json")["result"] == 3
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] in ([], [".sum.result.json.new"])
    assert queue.is_done


NAMES = st.sampled_from(["a.json", "b.json"])
STEPS = st.one_of(
    st.tuples(st.just("drop"), NAMES, st.integers(1, 3)),
    st.tuples(st.sampled_from(["take away", "lose the outcome", "forget to write"]), NAMES, st.just(0)),
    st.tuples(st.sampled_from(["look", "work", "restart"]), st.just(""), st.just(0)),
)


LOSING = [("drop", "a.json", 1), ("look", "", 0), ("work", "", 0), ("look", "", 0), ("lose the outcome", "a.json", 0)]


@example(steps=LOSING)
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=25))
def test_whatever_happens_each_file_ends_with_the_outcome_of_what_is_in_it_and_nothing_is_done_twice(
    steps: list[tuple[str, str, int]],
) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(live_through(Path(folder), steps))


async def live_through(folder: Path, steps: list[tuple[str, str, int]]) -> None:
    colony = Colony()
    queue = queue_of(folder, colony)
    dropped = set()
    for step, name, n in [*steps, *[("look", "", 0), ("work", "", 0)] * 2, ("look", "", 0)]:
        match step:
            case "drop":
                drop(folder, name, {"capability": "add", "input": [n, n]})
                dropped.add((name, n))
            case "take away":
                (folder / name).unlink(missing_ok=True)
            case "lose the outcome":
                (folder / name.replace(".json", ".result.json")).unlink(missing_ok=True)
            case "forget to write":
                (folder / f".{name.replace('.json', '.result.json')}.new").write_text("half of")
            case "look":
                await look_at_all(queue)
            case "work":
                colony.do()
            case "restart":
                queue = queue_of(folder, colony)
    assert len(colony.given) <= len(dropped)
    for path in folder.glob("?.json"):
        outcome = told(folder, path.name.replace(".json", ".result.json"))
        assert outcome["result"] == sum(told(folder, path.name)["input"])
        assert outcome["sha256"] == files.hash_of(path.read_bytes())


def test_a_folder_that_is_none_says_so(tmp_path: Path, colony: Colony) -> None:
    with pytest.raises(FolderUnusable, match="make it first"):
        queue_of(tmp_path / "nowhere", colony).check()


def test_a_folder_in_trouble_keeps_nobody_from_using_the_node() -> None:
    health = Health()
    health.set(SUBSYSTEM, "degraded", "the disk is full")
    assert health.is_ready
