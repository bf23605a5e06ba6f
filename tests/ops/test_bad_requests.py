"""Requests that no client should make: each is refused, and the node goes on."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.client import Client

REFUSED = range(400, 500)


def status_of(node: NodeProcess, request: bytes) -> int:
    """What is answered to these bytes, which need be no HTTP."""
    place = urlsplit(node.node.url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=30) as connection:
        connection.sendall(request + b"\r\nhost: node\r\nconnection: close\r\n\r\n")
        version, status, *_ = connection.makefile("rb").readline().split()
    assert version == b"HTTP/1.1"
    return int(status)


@pytest.mark.parametrize(
    "target",
    [
        b"/query/" + b"a" * 60_000,
        b"/query/runs?" + b"a" * 60_000,
        b"/events?" + b"&".join([b"type=a"] * 5_000),
        b"/query/%ff",
        b"/query/\xff\xfe",
        b"/query/%00",
        b"/sparql?query=%00",
        b"/events?limit=99999999999999999999999999",
        b"/events?since=2026-01-01T00:00:00%2B99:99",
        b"/events?since=99999999999999999999",
        b"/query/runs?started_at.ge=2026-01-01T00:00:00%2B25:00",
        b"/hobby/dashboard?now=0001-01-01T00:00:00%2B14:00",
        b"/hobby/metrics/summary?now=9999-12-31T23:59:59-14:00",
    ],
    ids=lambda target: target[:40].decode(errors="replace"),
)
def test_a_url_that_makes_no_sense_is_refused(node: NodeProcess, client: Client, target: bytes) -> None:
    assert status_of(node, b"GET " + target + b" HTTP/1.1") in REFUSED
    assert client.get("/health/live")["status"] == "live"


@pytest.mark.parametrize("content_type", [b"image/png", b"text/plain; charset=utf-16", b"", b"\xff\xfe"])
@pytest.mark.parametrize("path", [b"/events", b"/sql", b"/sparql", b"/graph"])
def test_a_body_of_an_odd_type_is_refused(node: NodeProcess, path: bytes, content_type: bytes) -> None:
    head = b"POST " + path + b" HTTP/1.1\r\ncontent-type: " + content_type + b"\r\ncontent-length: 0"
    assert status_of(node, head) in REFUSED
