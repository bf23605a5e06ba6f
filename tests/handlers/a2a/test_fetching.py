"""A card is believed as far as it can be looked into, and nobody is sent where only the node can go."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rookery.handlers.a2a import CardRefused, CardUnreachable, InvalidCard, fetch_card, place_of, refuse_elsewhere
from rookery.handlers.a2a import fetching as limits
from rookery.handlers.a2a.places import address_of, is_public

from .conftest import Host

HERE = {"127.0.0.1"}
WELL_KNOWN = "/.well-known/agent-card.json"


async def test_an_honest_agent_is_found_by_its_host_and_asked_about_a_task(host: Host, card: dict[str, Any]) -> None:
    host.serve(WELL_KNOWN, card)
    host.serve_agent()
    found = await fetch_card(host.url, allowed=HERE)
    assert (found.card.name, found.interface.url) == ("Painter", f"{host.url}/a2a")
    fetched, asked = host.asked
    assert (fetched.path, fetched.headers["host"]) == (WELL_KNOWN, f"127.0.0.1:{host.port}")
    assert json.loads(asked.body)["method"] == "GetTask"
    assert asked.headers["a2a-version"] == "1.0"


async def test_an_agent_of_the_version_before_is_asked_in_its_words(host: Host, card: dict[str, Any]) -> None:
    card["supportedInterfaces"][0]["protocolVersion"] = "0.3.0"
    host.serve("/cards/painter.json", card)
    host.serve_agent()
    await fetch_card(f"{host.url}/cards/painter.json", allowed=HERE)
    assert json.loads(host.asked[-1].body)["method"] == "tasks/get"


async def test_of_several_interfaces_the_first_that_answers_counts(host: Host, card: dict[str, Any]) -> None:
    honest = card["supportedInterfaces"][0]
    grpc, dead = honest | {"protocolBinding": "GRPC"}, honest | {"url": f"{host.url}/nothing"}
    host.serve(WELL_KNOWN, card | {"supportedInterfaces": [grpc, dead, honest]})
    host.serve_agent()
    assert (await fetch_card(host.url, allowed=HERE)).interface.url == f"{host.url}/a2a"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>a web page</html>", "nothing of JSON-RPC"),
        ({"jsonrpc": "1.0"}, "nothing of JSON-RPC"),
        ({"jsonrpc": "2.0", "result": {"id": "t"}}, "it knows a task that nobody gave it"),
        ({"jsonrpc": "2.0", "error": {"code": -32601, "message": "?"}}, "error -32601 and not -32001"),
        ({"jsonrpc": "2.0", "error": "no"}, "error None"),
    ],
)
async def test_an_endpoint_that_is_not_what_the_card_says_is_refused(
    host: Host, card: dict[str, Any], content: Any, reason: str
) -> None:
    host.serve(WELL_KNOWN, card)
    host.serve("/a2a", content)
    with pytest.raises(CardRefused, match=reason):
        await fetch_card(host.url, allowed=HERE)


async def test_an_agent_that_wants_credentials_is_taken_at_its_word_only_if_its_card_says_so(
    host: Host, card: dict[str, Any]
) -> None:
    host.serve(WELL_KNOWN, card)
    host.serve("/a2a", {}, status=401)
    with pytest.raises(CardRefused):
        await fetch_card(host.url, allowed=HERE)
    host.serve(WELL_KNOWN, card | {"securityRequirements": [{"schemes": {"key": {"list": []}}}]})
    assert (await fetch_card(host.url, allowed=HERE)).card.asks_for_credentials


async def test_a_card_that_only_speaks_what_we_do_not_is_refused(host: Host, card: dict[str, Any]) -> None:
    card["supportedInterfaces"][0]["protocolBinding"] = "GRPC"
    host.serve(WELL_KNOWN, card)
    with pytest.raises(CardRefused, match="reached by GRPC only"):
        await fetch_card(host.url, allowed=HERE)


async def test_a_redirection_is_refused_and_not_followed(host: Host, card: dict[str, Any]) -> None:
    host.serve("/elsewhere", card)
    host.serve(WELL_KNOWN, b"", status=302, location="/elsewhere")
    with pytest.raises(CardRefused, match="sends on to /elsewhere"):
        await fetch_card(host.url, allowed=HERE)
    assert [asked.path for asked in host.asked] == [WELL_KNOWN]


async def test_a_card_may_not_speak_for_another_host(host: Host, card: dict[str, Any]) -> None:
    card["supportedInterfaces"].append(
        {"url": f"http://localhost:{host.port}/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    )
    host.serve(WELL_KNOWN, card)
    host.serve_agent()
    with pytest.raises(CardRefused, match="an endpoint on another host than its card"):
        await fetch_card(host.url, allowed=HERE)
    assert len(host.asked) == 1
    await fetch_card(host.url, allowed={*HERE, "localhost"})


async def test_another_port_of_the_same_host_is_elsewhere() -> None:
    home = place_of("https://agents.example.com/card.json")
    refuse_elsewhere("https://agents.example.com:443/a2a", home, ())
    for url in ("https://agents.example.com:8443/a2a", "http://agents.example.com/a2a", "https://example.com/a2a"):
        with pytest.raises(CardRefused):
            refuse_elsewhere(url, home, ())


async def test_this_machine_is_not_asked_unless_a_setting_allows_it(host: Host, card: dict[str, Any]) -> None:
    host.serve(WELL_KNOWN, card)
    host.serve_agent()
    for url in (host.url, f"http://localhost:{host.port}"):
        with pytest.raises(CardRefused, match="not a public one"):
            await fetch_card(url)
    assert not host.asked


async def test_what_is_too_large_is_not_read_to_its_end(host: Host) -> None:
    host.serve(WELL_KNOWN, b" " * (limits.CARD_BYTES_MAX + 1))
    with pytest.raises(CardRefused, match="larger than"):
        await fetch_card(host.url, allowed=HERE)


async def test_what_is_packed_is_refused(host: Host) -> None:
    host.serve(WELL_KNOWN, b"\x1f\x8b", content_encoding="gzip")
    with pytest.raises(CardRefused, match="packed"):
        await fetch_card(host.url, allowed=HERE)


async def test_where_there_is_no_card_it_is_said(host: Host) -> None:
    with pytest.raises(CardUnreachable, match="it answers 404"):
        await fetch_card(host.url, allowed=HERE)
    host.serve(WELL_KNOWN, b"<html>")
    with pytest.raises(InvalidCard):
        await fetch_card(host.url, allowed=HERE)


async def test_a_host_that_is_not_there_or_hangs_is_said(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CardUnreachable):
        await fetch_card("http://127.0.0.1:1", allowed=HERE)
    monkeypatch.setattr(limits, "FETCH_SECONDS_MAX", 0.1)
    host.serve(WELL_KNOWN, b"half", content_length="1000")
    with pytest.raises(CardUnreachable):
        await fetch_card(host.url, allowed=HERE)


@pytest.mark.parametrize(
    "url", ["ftp://h/card", "file:///etc/passwd", "https://", "h/card", "http://user:secret@h/", "http://[::1", ""]
)
async def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(CardRefused) as refused:
        await fetch_card(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("::127.0.0.1", False),
        ("64:ff9b::169.254.169.254", False),
        ("64:ff9b::93.184.215.14", True),
        ("64:ff9b:1::10.1.2.3", False),
        ("2002:7f00:1::", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


async def test_an_address_in_other_clothes_is_still_what_it_is() -> None:
    for host in ("127.1", "0x7f000001", "2130706433"):
        with pytest.raises((CardRefused, CardUnreachable)):
            await address_of(place_of(f"http://{host}/"), ())
