"""Programs: whatever one writes, a call of it ends in an error of ours, and the program with it."""

from __future__ import annotations

import asyncio
import shlex
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rookery.handlers.transports import Endpoint, TransportError, Transports

from .conftest import until_nobody_runs
from .test_contract import call

BABBLE = "import os, sys, time; os.write(1, bytes.fromhex(sys.argv[1])); sys.stdin.read()"
LINES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"{}", b"[]", b"null", b"1", b'{"jsonrpc":"2.0"}', b'{"jsonrpc":"2.0","id":null,"result":1}']),
    st.sampled_from([b'{"jsonrpc":"2.0","id":1}', b'{"jsonrpc":"2.0","method":"log"}', b"\xff\xfe", b"[" * 600]),
)


@pytest.mark.parametrize("transport", ["rpc", "mcp"])
@example(lines=[b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}'])
@settings(max_examples=12, deadline=None)
@given(lines=st.lists(LINES, max_size=3))
def test_whatever_is_written_a_call_ends_and_no_process_is_left(transport: str, lines: list[bytes]) -> None:
    said = b"\n".join(lines) + b"\n"
    command = shlex.join([sys.executable, "-S", "-c", BABBLE, said.hex()])
    asyncio.run(ends(Endpoint.of(transport, command), said.hex()))


async def ends(endpoint: Endpoint, last_argument: str) -> None:
    async with Transports() as transports:
        with pytest.raises(TransportError):
            await transports.invoke(endpoint, call("echo"), timeout_seconds=0.3)
    await until_nobody_runs(rf"sys\.stdin\.read\(\) {last_argument}$")
