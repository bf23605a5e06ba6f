"""What publishers send: events of many types, and everything that may come by a bus and is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import msgspec
from rookery.schemas import (
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentStarted,
    Event,
    EventData,
    FeedbackGiven,
    FeedbackGivenV1,
    LlmCallCompleted,
    LlmCallFailed,
    RunCompleted,
    RunStarted,
    encode,
    subject_of,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NAMES = ("x", "y", "z.1", "z 2")
DOLLARS = (None, "0.1", "0.2", "0.0000001", "12.5", "99999.999999999999")
IDS_BEGIN = ("", "019aa12d-0b1c-7d2e-8f00-", "fixed-")  # drawn anyhow, UUIDv7, derived from something
RECENT_PARCELS = 30


class Parcel(NamedTuple):
    """Bytes on a subject. `event`: what they may stand in the log as. `reason`, `field`: why they are a dead letter."""

    subject: str
    payload: bytes
    event: Event | None
    reason: str = ""
    field: str = ""


class Traffic:
    """Draws one parcel after the other."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._sent: list[Parcel] = []
        self._kinds = {
            self._valid: 10,
            self._again: 3,
            self._other_bytes: 2,
            self._unknown_type: 1,
            self._invalid_data: 1,
            self._forged: 1,
            self._garbage: 1,
        }

    def draw(self) -> Parcel:
        """Something to send; now and then something that was sent before."""
        (make,) = self._chance.choices(list(self._kinds), list(self._kinds.values()))
        parcel = make()
        self._sent.append(parcel)
        return parcel

    def _valid(self) -> Parcel:
        return _parcel(self._event())

    def _again(self) -> Parcel:
        recent = self._sent[-RECENT_PARCELS:]
        return self._chance.choice(recent) if recent else self._valid()

    def _other_bytes(self) -> Parcel:
        """An event under an id that another one has."""
        event = self._again().event
        return self._valid() if event is None else _parcel(msgspec.structs.replace(self._event(), id=event.id))

    def _unknown_type(self) -> Parcel:
        event = msgspec.structs.replace(self._event(), type="gizmo.turned", data=msgspec.Raw(b'{"angle":7}'))
        return _parcel(event, "gizmo.turned", "type")

    def _invalid_data(self) -> Parcel:
        data = msgspec.Raw(b'{"provider":"p","request_model":"m","input_tokens":-1}')
        event = msgspec.structs.replace(self._event(), type="llm_call.completed", data=data)
        return _parcel(event, ">= 0", "data.input_tokens")

    def _forged(self) -> Parcel:
        event = self._event()
        fact, _, publisher = subject_of(event).rpartition(".")
        subject, reason, field = self._chance.choice(
            [
                (f"{fact}.mallory", "published by 'mallory'", "source"),
                (f"evt.run.another.completed.{publisher}", "but it belongs on", "subject"),
            ]
        )
        return Parcel(subject, encode(event), None, reason, field)

    def _garbage(self) -> Parcel:
        event = self._chance.choice((self._valid, self._unknown_type))().event
        assert event is not None
        payload = encode(event)
        damage = [
            b"",
            b"\x00\x00\xff not JSON \n" + payload[:9],
            payload[: len(payload) // 2],
            json.dumps(json.loads(payload), indent=1).encode(),
            payload + b" ",
            payload + b"\n",
            b" " + payload,
            b'{"n":1,' + payload[1:],
        ]
        return Parcel(subject_of(event), self._chance.choice(damage), None)

    def _event(self) -> Event:
        chance = self._chance
        return Event.of(
            chance.choice(FACTS)(chance),
            subject=chance.choice(NAMES),
            source=f"/agents/{chance.choice(NAMES).replace(' ', '-')}",
            id=f"{chance.choice(IDS_BEGIN)}{chance.getrandbits(48):012x}",
            time=NOON + timedelta(seconds=chance.choice((0, 1, 2.000001, 3600, 90_000))),
        )


def _parcel(event: Event, reason: str = "", field: str = "") -> Parcel:
    return Parcel(subject_of(event), encode(event), event, reason, field)


def _spend(chance: Random) -> dict[str, Any]:
    return {
        "provider": chance.choice(("p", "q")),
        "request_model": "m",
        "run_id": chance.choice((None, *NAMES)),
        "input_tokens": chance.choice((None, 0, 7, 2**40)),
        "cost_usd": chance.choice(DOLLARS),
    }


FACTS: list[Callable[[Random], EventData]] = [
    lambda chance: LlmCallCompleted(**_spend(chance)),
    lambda chance: LlmCallFailed(**_spend(chance), error='a "quoted"\nreason'),
    lambda chance: FeedbackGiven(kind="score", run_id=chance.choice(NAMES), score=chance.choice((None, 0.1, 1 / 3))),
    lambda chance: FeedbackGivenV1(run_id=chance.choice(NAMES), stars=chance.randint(1, 5)),
    lambda chance: AssignmentCreated(kind="k", agent_id=chance.choice(NAMES)),
    lambda chance: AssignmentStarted(agent_id=chance.choice(NAMES)),
    lambda chance: AssignmentCompleted(agent_id=chance.choice(NAMES), score=chance.choice((None, 0.7))),
    lambda chance: AssignmentFailed(agent_id=chance.choice(NAMES), error="\u2028 no"),
    lambda chance: RunStarted(task="t" * chance.choice((1, 3_000))),
    lambda chance: RunCompleted(success=chance.choice((None, True, False))),
]
