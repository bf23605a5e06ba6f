"""Fetching a card, and looking whether what it says of its agent is so."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import httpx
import msgspec

from ...schemas import new_id
from .cards import CARD_BYTES_MAX, JSON_RPC, VERSION, AgentCard, AgentInterface, card_in
from .errors import CardRefused, CardUnreachable
from .places import address_of, place_of, refuse_elsewhere

WELL_KNOWN = "/.well-known/agent-card.json"
FETCH_SECONDS_MAX = 10.0
VERSION_HEADER = "A2A-Version"
NO_SUCH_TASK = -32001
INTERFACES_TRIED_MAX = 4
PLAIN = {"accept": "application/json", "accept-encoding": "identity"}


class Fetched(msgspec.Struct, frozen=True):
    """A card that was looked into: `interface` answered as its agent's should."""

    card: AgentCard
    interface: AgentInterface


async def fetch_card(url: str, *, allowed: Collection[str] = ()) -> Fetched:
    """The card at a URL, or of the host that it names, when its agent answers as the card says.

    `allowed` are hosts that need not be public, and that cards of other hosts may name. Raises `CardRefused`,
    `InvalidCard` or `CardUnreachable`.
    """
    at = httpx.URL(url) if place_of(url) else httpx.URL()
    where = str(at.copy_with(path=WELL_KNOWN) if at.path in ("", "/") else at)
    status, payload = await _asked("GET", where, allowed)
    if status != 200:
        raise CardUnreachable(where, f"it answers {status}")
    card = card_in(payload)
    home = place_of(where)
    for interface in card.interfaces:
        refuse_elsewhere(interface.url, home, allowed)
    return Fetched(card, await answering(card, allowed=allowed))


async def answering(card: AgentCard, *, allowed: Collection[str] = ()) -> AgentInterface:
    """The first interface of a card that is what the card says it is.

    It is asked about a task that nobody has: an agent says so in the words of A2A, and nothing comes of it. Raises
    `CardRefused` where none does.
    """
    spoken = [one for one in card.interfaces if one.protocol_binding == JSON_RPC][:INTERFACES_TRIED_MAX]
    if not spoken:
        known = ", ".join(sorted({one.protocol_binding for one in card.interfaces}))
        raise CardRefused(card.name, f"it is reached by {known} only; Rookery speaks {JSON_RPC}")
    faults = []
    for interface in spoken:
        fault = await _fault_of(interface, card, allowed)
        if fault is None:
            return interface
        faults.append(f"{interface.url} is no {JSON_RPC} endpoint of an agent: {fault}")
    raise CardRefused(card.name, "; ".join(faults))


async def _fault_of(interface: AgentInterface, card: AgentCard, allowed: Collection[str]) -> str | None:
    """What shows that an endpoint isn't what it is said to be; nothing, if it answers as it should."""
    task = f"rookery-probe-{new_id()}"
    method = "GetTask" if interface.protocol_version.startswith(VERSION) else "tasks/get"
    question = {"jsonrpc": "2.0", "id": task, "method": method, "params": {"id": task}}
    headers = {VERSION_HEADER: interface.protocol_version}
    status, payload = await _asked("POST", interface.url, allowed, headers=headers, json=question)
    if status in (401, 403) and card.asks_for_credentials:
        return None
    return _fault_in(status, _object(payload))


def _fault_in(status: int, told: dict[str, Any] | None) -> str | None:
    if told is None or told.get("jsonrpc") != "2.0":
        return f"it answers {status}, and nothing of JSON-RPC 2.0"
    if "result" in told:
        return "it knows a task that nobody gave it"
    error = told.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if code != NO_SUCH_TASK:
        return f"it answers error {code!r} and not {NO_SUCH_TASK} when it is asked about a task that nobody gave it"
    return None


async def _asked(
    method: str, url: str, allowed: Collection[str], *, headers: dict[str, str] | None = None, json: Any = None
) -> tuple[int, bytes]:
    """What is answered, within bounds of time and size; a redirection is none. Raises as `fetch_card` does."""
    place, named = place_of(url), httpx.URL(url)
    try:
        async with asyncio.timeout(FETCH_SECONDS_MAX):
            address = await address_of(place, allowed)
            async with (
                httpx.AsyncClient(trust_env=False, verify=place.scheme == "https") as client,
                client.stream(
                    method,
                    named.copy_with(host=address),
                    headers={**PLAIN, **(headers or {}), "host": named.netloc.decode("ascii")},
                    json=json,
                    extensions={"sni_hostname": place.host},  # whose certificate it is to be
                ) as answer,
            ):
                if answer.is_redirect:
                    target = answer.headers.get("location", "elsewhere")
                    raise CardRefused(url, f"it sends on to {target}; give the URL of the card itself")
                return answer.status_code, await _bounded(answer, url)
    except TimeoutError:
        raise CardUnreachable(url, f"no answer within {FETCH_SECONDS_MAX:g} seconds") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CardUnreachable(url, str(error) or type(error).__name__) from None


async def _bounded(answer: httpx.Response, url: str) -> bytes:
    """The body as it is sent: what is packed could be anything once it is unpacked."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise CardRefused(url, "it is sent packed, although it was asked for as it is")
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > CARD_BYTES_MAX:
            raise CardRefused(url, f"it is larger than {CARD_BYTES_MAX:,} bytes, which no card is")
    return bytes(body)


def _object(payload: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
