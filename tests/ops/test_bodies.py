"""Requests' bodies: the memory that they share, and the time that they may take."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from rookery.ops.api.bodies import (
    REQUEST_BYTES_MAX,
    REQUEST_EVENTS_MAX,
    BodyTooLarge,
    BodyTooSlow,
    NoRoom,
    Room,
    events_in,
    read_body,
)
from rookery.ops.api.problems import status_of
from rookery.schemas import MalformedEvent
from starlette.requests import Request
from starlette.types import Message


async def _nothing_comes() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def request(size_bytes: int | None, receive: Callable[[], Awaitable[Message]] = _nothing_comes) -> Request:
    headers = [] if size_bytes is None else [(b"content-length", b"%d" % size_bytes)]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def test_a_body_that_finds_no_room_waits_and_who_comes_later_waits_behind_it() -> None:
    room, entered, leave = Room(100), [], asyncio.Event()

    async def hold(size_bytes: int) -> None:
        async with room.for_body(request(size_bytes)):
            entered.append(size_bytes)
            await leave.wait()

    tasks = [asyncio.create_task(hold(size_bytes)) for size_bytes in (60, 50, 10)]
    await asyncio.sleep(0.01)
    assert entered == [60]
    leave.set()
    await asyncio.gather(*tasks)
    assert entered == [60, 50, 10]


async def test_a_body_of_unknown_size_has_room_for_as_much_as_it_may_bring() -> None:
    room = Room(REQUEST_BYTES_MAX)
    async with room.for_body(request(None)):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await _enter(room, 1)


async def test_a_body_of_unknown_size_takes_no_more_room_than_its_route_reads() -> None:
    room = Room(REQUEST_BYTES_MAX)
    async with contextlib.AsyncExitStack() as held, asyncio.timeout(10):
        for _ in range(64):
            await held.enter_async_context(room.for_body(request(None), bytes_max=2**20))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await _enter(room, 1)


async def test_who_finds_no_room_for_long_is_refused_and_leaves_none_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.ops.api.bodies.ROOM_SECONDS_MAX", 0.01)
    room = Room(100)
    async with room.for_body(request(60)), asyncio.timeout(10):
        waiting = [asyncio.create_task(_enter(room, 50)) for _ in range(3)]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [status_of(one) for one in outcomes if isinstance(one, NoRoom)] == [503] * 3
    async with asyncio.timeout(10):
        await _enter(room, 100)


async def test_a_client_that_leaves_while_it_waits_leaves_its_place_to_the_next() -> None:
    room = Room(100)
    async with room.for_body(request(100)):
        waiting = asyncio.create_task(_enter(room, 100))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    await _enter(room, 100)


async def _enter(room: Room, size_bytes: int) -> None:
    async with room.for_body(request(size_bytes)):
        pass


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.ops.api.bodies.BODY_SECONDS_MAX", 0.01)
    with pytest.raises(BodyTooSlow, match="0 bytes arrived"):
        await read_body(request(5))


@pytest.mark.parametrize("element", [b"0", b"{}", b'"\\",["'])
def test_an_array_of_a_multitude_is_refused_before_it_is_taken_apart(
    element: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(msgspec.json, "decode", _never)
    with pytest.raises(BodyTooLarge):
        events_in(b"[" + b",".join([element] * 1_100_000) + b"]", "application/json")


def test_commas_within_events_are_not_counted_as_events() -> None:
    event = b'{"a":[' + b",".join([b'"\\",["'] * 110) + b"]}"
    found = events_in(b"[" + b",".join([event] * REQUEST_EVENTS_MAX) + b"]", "application/json")
    assert found == [event] * REQUEST_EVENTS_MAX


def test_a_string_without_end_is_looked_at_once() -> None:
    with pytest.raises(MalformedEvent):
        events_in(b'["' + b'\\",' * 1_100_000, "application/json")


def _never(*_: object, **__: object) -> None:
    raise AssertionError
