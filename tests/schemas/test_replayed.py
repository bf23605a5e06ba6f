"""The mark of a replayed event, and who is refused for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rookery.schemas import (
    Event,
    InvalidReplayName,
    MalformedEvent,
    Mark,
    ReplayedEvent,
    RunStarted,
    check,
    decode,
    encode,
    mark_in,
    marked,
    refuse_chained,
    refuse_replayed,
    replay_name,
    replay_subject,
    replay_subjects,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVENT = Event.of(RunStarted(task="Review"), subject="run-9", source="/agents/coder.7", id="e-1", time=NOON)
MARK = Mark("past", "local:41", NOON, "berlin:7,local:41")


def test_a_marked_event_is_the_event_with_something_in_front() -> None:
    payload = encode(EVENT)
    told = marked(payload, MARK)
    assert mark_in(told) == MARK
    assert decode(told) == EVENT
    assert told.endswith(payload[1:])
    assert check(told)[1] == RunStarted(task="Review")


def test_what_is_marked_is_refused_as_a_new_fact_by_its_address() -> None:
    with pytest.raises(ReplayedEvent, match="local:41") as refused:
        refuse_replayed(marked(encode(EVENT), MARK))
    assert (refused.value.address, refused.value.field) == ("local:41", "replayaddress")


@pytest.mark.parametrize("chain", [b'"0123456789abcdef"', b"null", b"7"])
def test_a_new_fact_brings_no_chain_and_an_old_one_keeps_its_own(chain: bytes) -> None:
    payload = b'{"chain":%b,' % chain + encode(EVENT)[1:]
    with pytest.raises(MalformedEvent, match="the log's own") as refused:
        refuse_chained(payload)
    assert refused.value.field == "chain"
    assert check(payload)[1] == RunStarted(task="Review")


@pytest.mark.parametrize("payload", [encode(EVENT), b'"chain"', b'{"data":{"chain":7}}'])
def test_what_has_no_chain_beside_its_attributes_is_not_refused_for_it(payload: bytes) -> None:
    refuse_chained(payload)


@pytest.mark.parametrize("address", [b'"local:1"', b"null", b"7", b'["local:1"]', b'""'])
def test_a_broken_mark_is_a_mark_all_the_same(address: bytes) -> None:
    with pytest.raises(ReplayedEvent):
        refuse_replayed(b'{"replayaddress":%b,' % address + encode(EVENT)[1:])


def test_a_fact_that_speaks_of_replays_is_a_fact() -> None:
    talk = Event.of(RunStarted(task='{"replayaddress":"local:1"}'), subject="run-9", source="/agents/coder-7")
    inside = b'{"specversion":"1.0","data":{"replayaddress":"local:1"}}'
    for payload in (
        encode(EVENT),
        encode(talk),
        inside,
        b'"replayaddress"',
        b'{"replayaddress"',
        b'\xff"replayaddress"',
    ):
        refuse_replayed(payload)
        assert mark_in(payload) is None


def test_a_replay_is_heard_apart_from_the_facts() -> None:
    assert replay_subjects("what-if") == "replay.what-if.>"
    assert replay_subject("what-if", EVENT) == "replay.what-if.run.run-9.started.coder%2E7"


@pytest.mark.parametrize("name", ["", "evt", "a.b", "a b", "*", ">", "-a", "a" * 65, "ä", "a\n", "evt.>", "../x"])
def test_a_name_is_one_token_whatever_it_is(name: str) -> None:
    if name == "evt":
        assert replay_subjects(name) == "replay.evt.>"
        return
    with pytest.raises(InvalidReplayName):
        replay_name(name)
