"""Traffic: every HTTP request is counted once, when its answer begins, and changes in nothing by it."""

from __future__ import annotations

from typing import Any

import pytest
from rookery.ops.api.traffic import Traffic, TrafficMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

START = {"type": "http.response.start", "status": 200}
BODY = {"type": "http.response.body"}


class Route:
    path = "/query/{name}"


async def asked(traffic: Traffic, app: ASGIApp, **scope: Any) -> list[Message]:
    """What `app` sends through the middleware."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    await TrafficMiddleware(app, traffic)({"type": "http", "method": "GET", **scope}, receive, send)
    return sent


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    scope["route"] = Route
    await send(START)
    await send(BODY)


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError


async def breaking_off(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    raise ZeroDivisionError


async def test_a_request_is_counted_and_its_answer_left_as_it_is() -> None:
    traffic = Traffic()
    assert await asked(traffic, answering) == [START, BODY]
    assert traffic.requests == {("/query/{name}", "GET", "200"): 1}
    assert traffic.seconds["/query/{name}", "GET"].count == 1


async def test_what_fails_before_it_answers_counts_as_500() -> None:
    traffic = Traffic()
    with pytest.raises(ZeroDivisionError):
        await asked(traffic, failing)
    assert (traffic.requests, traffic.in_flight) == ({("none", "GET", "500"): 1}, 0)


async def test_what_breaks_off_has_been_counted_as_it_began() -> None:
    traffic = Traffic()
    with pytest.raises(ZeroDivisionError):
        await asked(traffic, breaking_off)
    assert (traffic.requests, traffic.in_flight) == ({("none", "GET", "200"): 1}, 0)


async def test_a_live_stream_is_counted_when_it_begins_and_in_flight_until_it_ends() -> None:
    traffic = Traffic()
    seen = []

    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        seen.append((traffic.in_flight, traffic.requests.total()))

    await asked(traffic, streaming)
    assert seen == [(1, 1)]


async def test_a_websocket_is_no_request() -> None:
    traffic = Traffic()
    await asked(traffic, answering, type="websocket")
    assert not traffic.requests


async def test_methods_that_clients_make_up_are_one() -> None:
    traffic = Traffic()
    for number in range(9):
        await asked(traffic, answering, method=f"BREW-{number}")
    assert traffic.requests == {("/query/{name}", "other", "200"): 9}
