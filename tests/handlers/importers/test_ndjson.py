"""CloudEvents from lines: as they stand, or rejected by line number."""

from __future__ import annotations

from io import BytesIO

from rookery.handlers.importers.found import EVENT_BYTES_MAX, Found, Rejected
from rookery.handlers.importers.ndjson import read
from rookery.schemas import AgentRegistered, Event, MessageRecorded, encode


def event(text: str) -> bytes:
    data = MessageRecorded(run_id="run-1", step=0, role="user", content=text)
    return encode(Event.of(data, subject="run-1-0", source="/agents/coder-7"))


def findings(text: bytes) -> list[Found | Rejected]:
    return list(read(BytesIO(text), "events"))


def test_lines_pass_byte_for_byte() -> None:
    spaced = (
        b'{ "specversion":"1.0", "id":"1","source":"/a","type":"agent.registered","subject":"a",'
        b'"time":"2026-11-20T13:53:04Z","vendorextension":"kept","data":{"name":"a","newer":1} }  '
    )
    lines = [event("plain"), spaced]
    assert findings(b"\n".join(lines)) == [Found(lines[0], "line 1"), Found(spaced.strip(), "line 2")]


def test_empty_lines_windows_line_ends_and_a_byte_order_mark_are_no_part_of_events() -> None:
    line = event("text")
    assert findings(b"\xef\xbb\xbf" + line + b"\r\n\r\n  \n" + line + b"\r\n") == [
        Found(line, "line 1"),
        Found(line, "line 4"),
    ]


def test_an_empty_file_holds_no_events() -> None:
    assert findings(b"") == []


def test_lines_that_are_no_events_are_rejected_with_their_reason() -> None:
    unknown = encode(Event.of(AgentRegistered(name="a"), subject="a", source="/a")).replace(b"registered", b"registred")
    wrong = event("x").replace(b'"step":0', b'"step":-1')
    text = b"\n".join([event("a"), b"no json", unknown, wrong, b'{"n":1}', b"\xff\xfe", event("b")])
    places = [(finding.where, isinstance(finding, Found)) for finding in findings(text)]
    assert places == [(f"line {number}", number in (1, 7)) for number in range(1, 8)]
    reasons = [finding.reason for finding in findings(text) if isinstance(finding, Rejected)]
    assert "did you mean 'agent.registered'?" in reasons[1]
    assert reasons[2].startswith("data.step:")


def test_an_event_that_the_bus_would_refuse_is_rejected_whether_or_not_its_line_ends() -> None:
    fitting = event("x" * (EVENT_BYTES_MAX - len(event(""))))
    assert len(fitting) == EVENT_BYTES_MAX
    too_long = event("x" * (EVENT_BYTES_MAX + 1 - len(event(""))))
    for end in (b"\n", b"\r\n"):
        assert [
            type(finding) for finding in findings(end.join([fitting, too_long, too_long * 3, fitting, too_long]))
        ] == [
            Found,
            Rejected,
            Rejected,
            Found,
            Rejected,
        ]


def test_a_file_cut_anywhere_gives_the_events_before_the_cut() -> None:
    text = b"\n".join(event(word) for word in ("one", "two", "three"))
    whole = findings(text)
    for size in range(len(text)):
        found = [finding for finding in findings(text[:size]) if isinstance(finding, Found)]
        assert found == whole[: len(found)]
        assert len(found) >= text[:size].count(b"\n")
