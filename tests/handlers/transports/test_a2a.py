"""Agents of A2A, made with the official SDK: what they answer in either version, and how they say no."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from rookery.handlers.a2a import fetch_card
from rookery.handlers.transports import AgentFailed, Call, Endpoint, Refused, Transports
from rookery.schemas import new_id

from .conftest import served
from .official_a2a_agent import OfficialAgent


@pytest.fixture(params=[False, True], ids=["1.0", "0.3"])
async def agent(request: pytest.FixtureRequest) -> AsyncIterator[OfficialAgent]:
    found = OfficialAgent(is_old=request.param)
    async with served(found) as found.url:
        yield found


def call(capability: str, input: Any = None) -> Call:
    return Call(id=new_id(), capability=capability, input=input)


async def test_its_card_is_believed(agent: OfficialAgent) -> None:
    found = await fetch_card(agent.url, allowed={"127.0.0.1"})
    assert (found.card.name, found.interface.url) == ("Official Echoer", f"{agent.url}/a2a")


async def test_text_comes_back_as_text_and_data_as_data(agent: OfficialAgent, transports: Transports) -> None:
    endpoint = Endpoint.of("a2a", f"{agent.url}/a2a")
    assert await transports.invoke(endpoint, call("echo", "hello")) == "hello"
    assert await transports.invoke(endpoint, call("echo", {"n": [1, None]})) == {"n": [1, None]}


async def test_what_takes_longer_is_waited_for(agent: OfficialAgent, transports: Transports) -> None:
    assert await transports.invoke(Endpoint.of("a2a", f"{agent.url}/a2a"), call("slow", "x")) == "at last"


async def test_a_failure_may_be_tried_again_and_what_it_can_not_go_on_with_may_not(
    agent: OfficialAgent, transports: Transports
) -> None:
    endpoint = Endpoint.of("a2a", f"{agent.url}/a2a")
    with pytest.raises(AgentFailed, match="the disk is full"):
        await transports.invoke(endpoint, call("fail", "x"))
    with pytest.raises(Refused, match=r"input.required: which one\?"):
        await transports.invoke(endpoint, call("ask", "x"))
    with pytest.raises(Refused, match="rejected: no fly"):
        await transports.invoke(endpoint, call("fly", "x"))
