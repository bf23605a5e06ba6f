"""What must hold, computed anew from what the bus acknowledged: a model of the log and of a few read models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from rookery.bus import Delivery
from rookery.eventstore import Log
from rookery.ops.syncing import Pulled
from rookery.projections import Projections
from rookery.schemas import Event

from .traffic import Parcel

ORIGIN = "here"
ENDED = {"assignment.completed": "completed", "assignment.failed": "failed"}


Place = tuple[str, int]


class Broken(AssertionError):
    """Something that must hold does not."""


class Line(NamedTuple):
    """What the log must say at `n`. `reason` is a part of what it says of a dead letter; None for an event."""

    n: int
    delivery: Delivery
    event: Event | None
    reason: str | None
    field: str


class Model:
    """The log as it must become: every event once, in the bus's order, and whatever else came as a dead letter."""

    def __init__(self, origin: str = ORIGIN) -> None:
        self.origin = origin
        self.lines: list[Line] = []
        self.addresses: dict[str, tuple[str, int]] = {}
        self._taken = 0
        self._letters: set[tuple[str, bytes]] = set()

    def follow(self, deliveries: Sequence[Delivery], parcels: dict[tuple[str, bytes], Parcel]) -> None:
        """Take what was stored since."""
        for delivery in deliveries[self._taken :]:
            self._take(delivery, parcels[delivery.subject, delivery.payload])
        self._taken = len(deliveries)

    def _take(self, delivery: Delivery, parcel: Parcel) -> None:
        n = len(self.lines) + 1
        if parcel.event is None:
            return self._keep_letter(Line(n, delivery, None, parcel.reason, parcel.field))
        _, held = self.addresses.setdefault(parcel.event.id, (self.origin, n))
        if held == n:
            reason = parcel.reason or None
            self.lines.append(Line(n, delivery, None if reason else parcel.event, reason, parcel.field))
        elif self.lines[held - 1].delivery.payload != delivery.payload:
            self._keep_letter(Line(n, delivery, None, f"id already used by {self.origin}:{held}", "id"))
        return None

    def _keep_letter(self, line: Line) -> None:
        kept = line.delivery.subject, line.delivery.payload
        if kept not in self._letters:
            self._letters.add(kept)
            self.lines.append(line)


def check_log(log: Log, model: Model, folder: Path) -> None:
    """What the log holds is what the model says, as far as the log goes."""
    last = log.vector().get(model.origin, 0)
    expected = model.lines[:last]
    with Log.open(folder, writable=False) as reader:
        for who, seen in (("the writer", log), ("a reader", reader)):
            lines = [(line.n, line.sequence, line.recorded_time, line.payload) for line in seen.read(model.origin)]
            wanted = [(n, at.sequence, at.stored_at, at.payload) for n, at, *_ in expected]
            _same(f"lines of the log, as {who} sees them", lines, wanted)
            addresses = {each: at for each, at in model.addresses.items() if at[1] <= last}
            _same(f"events found by id, as {who} sees them", seen.find(model.addresses), addresses)
    _check_dead_letters(log, model.origin, [line for line in expected if line.reason is not None])


def check_complete(log: Log, model: Model, position: int, acknowledged: int) -> None:
    """Nothing that was acknowledged is still missing."""
    _same("last line of the log", log.vector().get(model.origin, 0), len(model.lines))
    _same("position on the bus", (position, log.bus_sequence(model.origin)), (acknowledged, acknowledged))


def check_growth(shows: Mapping[str, int], folds: Mapping[str, int], shown: Mapping[str, int]) -> dict[str, int]:
    """What was shown once is never lost, and read models are never ahead of the log. Returns what is shown now."""
    for origin, before in shown.items():
        if (last := shows.get(origin, 0)) < before:
            raise Broken(f"the log has shown {before} lines of {origin}, and lost all after {last}")
    for origin, folded in folds.items():
        if folded > (last := shows.get(origin, 0)):
            raise Broken(f"{folded} lines of {origin} are folded, and the log has {last}")
    return dict(shows)


def check_pulled(pulled: Pulled, *, lied: bool) -> None:
    """A peer that tells the truth is never said to lie, and there are never two histories."""
    if pulled.forks or (pulled.failures and not lied):
        raise Broken(f"pulled from {pulled.peer}: {pulled.forks or pulled.failures}")


def check_read_models(models: Projections, *of: Model) -> None:
    """A few read models, computed here in another way."""
    events = [
        ((model.origin, line.n), line.event, json.loads(bytes(line.event.data)))
        for model in of
        for line in model.lines
        if line.event is not None
    ]
    _same_rows(models, "cost_by_run", _costs(events))
    _same_rows(models, "assignments", _assignments(events))
    _same_rows(models, "feedback", _feedback(events))


def check_reactions(model: Model, reaction: str) -> int:
    """Assignments that failed since the reaction was installed are answered once, in their order; how many are."""
    events = [(line.n, line.event) for line in model.lines if line.event is not None]
    installed = [json.loads(bytes(event.data))["after"] for _, event in events if event.type == "reaction.installed"]
    after = min(installed, default=0)
    causes = {event.id: (n, event.subject) for n, event in events if event.type == "assignment.failed" and n > after}
    answers = [event.causationid for _, event in events if event.type == "alert.raised"]
    done = [json.loads(bytes(event.data)) for _, event in events if event.type == "reaction.completed"]
    _same("answered assignments", sorted(map(str, answers)), sorted(causes))
    addresses = sorted(one["cause"] for one in done if one["reaction"] == reaction)
    _same("answers that are done", addresses, sorted(f"{model.origin}:{n}" for n, _ in causes.values()))
    for subject in {subject for _, subject in causes.values()}:
        in_order = [cause for cause, (_, whose) in causes.items() if whose == subject]
        _same(f"answers about {subject}, in order", [cause for cause in answers if cause in in_order], in_order)
    return len(causes)


def check_alike(one: Log, other: Log, *, same_limits: bool) -> None:
    """Two nodes that had the same deliveries wrote the same bytes; if their limits differ, in other files."""
    if same_limits:
        _same("files of two nodes", *({path.name: path.read_bytes() for path in log.files()} for log in (one, other)))
    _same("lines of two nodes", *(_lines(log) for log in (one, other)))


def check_folders(one: Path, other: Path, *origins: str) -> None:
    """No crash has left anything behind: manifest, sealed and open segments are all there is, and the same."""
    for origin in origins or (ORIGIN,):
        _same(f"files of {origin} on two disks", *(_contents(folder / origin) for folder in (one, other)))


def _lines(log: Log) -> list[bytes]:
    return [record.line for origin in log.origins() for record in log.read(origin)]


def _contents(folder: Path) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted(folder.glob("*ndjson*"))]


def check_digests(what: str, found: dict[str, str], expected: dict[str, str]) -> None:
    """Read models that are the same have the same digests."""
    _same(f"digests: {what}", sorted(found.items()), sorted(expected.items()))


def _check_dead_letters(log: Log, origin: str, expected: list[Line]) -> None:
    found = list(log.dead_letters(origin))
    _same(
        "dead letters",
        [(letter.n, letter.payload) for letter in found],
        [(line.n, line.delivery.payload) for line in expected],
    )
    for letter, line in zip(found, expected, strict=True):
        if not letter.reason or str(line.reason) not in letter.reason or line.field not in letter.field:
            raise Broken(
                f"line {line.n}: {line.reason!r} in {line.field!r} is called {letter.reason!r}, {letter.field!r}"
            )


def _costs(events: list[tuple[Place, Event, Any]]) -> list[dict[str, Any]]:
    rows: dict[str, Counter[str]] = {}
    dollars: Counter[str] = Counter()
    for _, event, data in events:
        if event.entity == "llm_call" and (run := data.get("run_id")):
            priced = "cost_usd" in data
            dollars[run] += Decimal(data["cost_usd"]) if priced else 0  # type: ignore[assignment]
            rows.setdefault(run, Counter()).update(
                calls=1,
                failed_calls=int(event.type == "llm_call.failed"),
                input_tokens=data.get("input_tokens") or 0,
                unpriced_calls=int(not priced),
            )
    return [
        {"run_id": run, **row, "cost_usd": dollars[run] if row["unpriced_calls"] < row["calls"] else None}
        for run, row in rows.items()
    ]


def _assignments(events: list[tuple[Place, Event, Any]]) -> list[dict[str, Any]]:
    """Of ends, the first in the order of the log counts."""
    open_: dict[str, str] = {}
    ended: dict[str, tuple[Place, str]] = {}
    for place, event, _ in events:
        if event.type in ENDED:
            end = (place, ENDED[event.type])
            ended[event.subject] = min(ended.get(event.subject, end), end)
        elif event.entity == "assignment":
            is_begun = event.type == "assignment.started" or open_.get(event.subject) == "running"
            open_[event.subject] = "running" if is_begun else "pending"
    status = open_ | {each: how for each, (_, how) in ended.items()}
    return [{"assignment_id": each, "status": how} for each, how in status.items()]


def _feedback(events: list[tuple[Place, Event, Any]]) -> list[dict[str, Any]]:
    return [
        {"n": n, "run_id": data["run_id"], "score": _score(data)}
        for (_, n), event, data in events
        if event.entity == "feedback"
    ]


def _score(data: dict[str, Any]) -> float | None:
    """Stars as their successor has them; read models keep scores to 9 places."""
    score = (data["stars"] - 1) / 4 if "stars" in data else data.get("score")
    return None if score is None else round(score, 9)


def _same_rows(models: Projections, name: str, expected: list[dict[str, Any]]) -> None:
    columns = list(expected[0]) if expected else []
    found = [{column: row[column] for column in columns} for row in models.rows(name, limit=100_000).records()]
    _same(f"rows of {name}", sorted(map(str, map(_plain, found))), sorted(map(str, map(_plain, expected))))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Dollars as numbers: how many zeros they end with is the answer's affair."""
    return {name: Decimal(value).normalize() if name == "cost_usd" and value else value for name, value in row.items()}


def _same(what: str, found: Any, expected: Any) -> None:
    if found == expected:
        return
    if isinstance(found, list) and isinstance(expected, list):
        pairs = enumerate(zip(found, expected, strict=False))
        index = next((index for index, (one, other) in pairs if one != other), min(len(found), len(expected)))
        what = f"{what} ({len(found)}, expected {len(expected)}), from index {index} on"
        found, expected = found[index : index + 1], expected[index : index + 1]
    raise Broken(f"{what}:\n  found    {found!r:.2000}\n  expected {expected!r:.2000}")
