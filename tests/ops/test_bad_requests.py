"""Requests that no client should make: each is refused, and the node goes on."""

from __future__ import annotations

import gzip
import re
import socket
from urllib.parse import urlsplit

import httpx
import pytest
from rookery.ops.api.pages import is_known
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.client import Client
from rookery.ops.settings import Settings

REFUSED = range(400, 500)


def status_of(node: NodeProcess, request: bytes) -> int:
    """What is answered to these bytes, which need be no HTTP."""
    place = urlsplit(node.node.url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=30) as connection:
        connection.sendall(request + b"\r\nhost: localhost\r\nconnection: close\r\n\r\n")
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


def test_a_page_of_another_site_writes_nothing_and_reads_what_browsers_keep_from_it(
    node: NodeProcess, client: Client
) -> None:
    described = client.get("/openapi.json")["paths"]
    writing = [(path, method) for path, known in described.items() for method in known if method != "get"]
    writing.append(("/v1/traces", "post"))  # OpenTelemetry's, and not described here
    assert {("/events", "post"), ("/sql", "post"), ("/agents/{agent_id}", "delete")} <= {*writing}
    for origin in ("https://elsewhere.example", "null", "http://127.0.0.1:1", "http://["):
        for path, method in writing:
            url = node.node.url + re.sub(r"{\w+}", "local", path)
            refused = httpx.request(method, url, headers={"origin": origin, "content-type": "text/plain"}, content=b"1")
            assert refused.status_code == 403, (method, path, refused.text)
            assert origin in refused.json()["detail"]
        assert httpx.get(f"{node.node.url}/status", headers={"origin": origin}).status_code == 200
    own = httpx.post(f"{node.node.url}/sql", headers={"origin": node.node.url}, content=b'{"sql": "select 1"}')
    assert own.status_code == 200


def test_a_page_whose_site_s_name_leads_here_reads_nothing(node: NodeProcess) -> None:
    for host in ("evil.example", "evil.example:8800", "127.0.0.1.evil.example", "[::1"):
        refused = httpx.get(f"{node.node.url}/status", headers={"host": host})
        assert refused.status_code == 421, host
        assert host in refused.json()["detail"]
    for host in ("localhost", "127.0.0.1:1", "[::1]:8800", "10.0.0.1", "rookery.localhost"):
        assert httpx.get(f"{node.node.url}/status", headers={"host": host}).status_code == 200, host


def test_a_node_that_others_reach_has_the_names_that_its_network_knows() -> None:
    assert is_known("node-7.internal", Settings(host="0.0.0.0"))
    behind_a_proxy = Settings(public_url="https://rookery.example:8443/colony")
    assert is_known("rookery.example", behind_a_proxy)
    assert not is_known("evil.example", behind_a_proxy)


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/events", "GET, POST"), ("/rebuild", "DELETE, GET, POST"), ("/agents/coder-7", "DELETE, GET, PATCH")],
)
def test_a_method_that_is_not_there_is_told_all_that_are(node: NodeProcess, path: str, methods: str) -> None:
    refused = httpx.put(node.node.url + path)
    assert (refused.status_code, refused.headers["allow"]) == (405, methods)


@pytest.mark.parametrize("path", ["/events", "/sql", "/assignments", "/graph"])
def test_a_body_that_is_not_unpacked_is_refused_for_that(node: NodeProcess, path: str) -> None:
    headers = {"content-encoding": "gzip", "content-type": "text/turtle"}
    refused = httpx.post(node.node.url + path, content=gzip.compress(b"{}"), headers=headers)
    assert refused.status_code == 415
    assert "send it uncompressed" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("target", "detail"),
    [
        ("/history?from=0001-01-01", "query.from: the year must be"),
        ("/query/runs?run_id.foo=1", "run_id.foo: no operator is named 'foo'; there are eq,"),
        ("/assignments?status=pending,done", "status: 'done' is none; there are pending, running,"),
    ],
)
def test_a_parameter_is_told_what_would_be_right(node: NodeProcess, target: str, detail: str) -> None:
    refused = httpx.get(node.node.url + target)
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith(detail)


@pytest.mark.parametrize("content_type", [b"image/png", b"text/plain; charset=utf-16", b"", b"\xff\xfe"])
@pytest.mark.parametrize("path", [b"/events", b"/sql", b"/sparql", b"/graph"])
def test_a_body_of_an_odd_type_is_refused(node: NodeProcess, path: bytes, content_type: bytes) -> None:
    head = b"POST " + path + b" HTTP/1.1\r\ncontent-type: " + content_type + b"\r\ncontent-length: 0"
    assert status_of(node, head) in REFUSED
