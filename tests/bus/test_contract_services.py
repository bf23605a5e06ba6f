"""What every bus does beside events (commands, keys, objects): the same suite over both buses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from rookery.bus import (
    Bus,
    CommandFailed,
    CommandRefused,
    Entity,
    InvalidKey,
    KeyNotFound,
    NoResponder,
    ObjectNotFound,
    RequestTimedOut,
    RequestTooLarge,
    RevisionConflict,
    TooLarge,
)
from rookery.schemas import Event, RookeryError

MakeEvent = Callable[..., Event]

ONE = Entity("assignment", "as-1")
TWO = Entity("assignment", "as-2")


class UnknownAgent(RookeryError):
    pass


class TestSaying:
    async def test_all_who_listen_hear_what_is_said_under_their_pattern(self, bus: Bus) -> None:
        heard: list[tuple[str, str, bytes]] = []
        await bus.listen("beat.>", lambda subject, payload: heard.append(("all", subject, payload)))
        await bus.listen("beat.a", lambda subject, payload: heard.append(("a", subject, payload)))
        for subject in ("beat.a", "beat.b", "beats.a"):
            await bus.send(subject, subject.encode())
        async with asyncio.timeout(10):
            while len(heard) < 3:
                await asyncio.sleep(0.001)
        assert sorted(heard) == [("a", "beat.a", b"beat.a"), ("all", "beat.a", b"beat.a"), ("all", "beat.b", b"beat.b")]

    async def test_nobody_has_to_listen_and_nothing_is_kept(self, bus: Bus) -> None:
        await bus.send("beat.a", b"early")
        heard = list[bytes]()
        listening = await bus.listen("beat.a", lambda _, payload: heard.append(payload))
        await bus.send("beat.a", b"now")
        async with asyncio.timeout(10):
            while not heard:
                await asyncio.sleep(0.001)
        await listening.close()
        await bus.send("beat.a", b"late")
        await bus.state()  # what was said before this has been heard by now
        assert heard == [b"now"]
        assert (await bus.state()).messages == 0

    async def test_too_much_at_once_is_refused(self, bus: Bus) -> None:
        with pytest.raises(RequestTooLarge):
            await bus.send("beat.a", bytes(9 * 1024 * 1024))


class TestCommands:
    async def test_a_command_is_answered(self, bus: Bus) -> None:
        async def shout(payload: bytes) -> bytes:
            return payload.upper()

        await bus.serve("cmd.fleet.shout", shout, queue="fleet")
        assert await bus.request("cmd.fleet.shout", b"hello") == b"HELLO"

    async def test_each_command_goes_to_one_of_a_queue(self, bus: Bus) -> None:
        served: list[str] = []

        def handler(name: str) -> Callable[[bytes], object]:
            async def handle(payload: bytes) -> bytes:
                served.append(name)
                return payload

            return handle

        for name in ("a", "b"):
            await bus.serve("cmd.fleet.work", handler(name), queue="fleet")  # type: ignore[arg-type]
        await asyncio.gather(*(bus.request("cmd.fleet.work", b"") for _ in range(60)))
        assert len(served) == 60
        assert set(served) == {"a", "b"}

    async def test_a_refusal_keeps_its_reason_and_type(self, bus: Bus) -> None:
        async def refuse(payload: bytes) -> bytes:
            raise UnknownAgent("no agent is called 'bob'\nnot even elsewhere: ü")

        await bus.serve("cmd.fleet.assign", refuse, queue="fleet")
        with pytest.raises(CommandRefused) as refused:
            await bus.request("cmd.fleet.assign", b"")
        assert refused.value.type == "UnknownAgent"
        assert refused.value.reason == "no agent is called 'bob'\nnot even elsewhere: ü"

    async def test_a_refusal_passed_on_stays_as_it_was(self, bus: Bus) -> None:
        async def refuse(payload: bytes) -> bytes:
            raise UnknownAgent("no")

        async def pass_on(payload: bytes) -> bytes:
            return await bus.request("cmd.fleet.inner", payload)

        await bus.serve("cmd.fleet.inner", refuse, queue="fleet")
        await bus.serve("cmd.fleet.outer", pass_on, queue="fleet")
        with pytest.raises(CommandRefused) as refused:
            await bus.request("cmd.fleet.outer", b"")
        assert refused.value.type == "UnknownAgent"

    async def test_a_crash_is_logged_where_it_happens_and_tells_no_secrets(
        self, bus: Bus, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def crash(payload: bytes) -> bytes:
            raise ZeroDivisionError("secret")

        await bus.serve("cmd.fleet.crash", crash, queue="fleet")
        with pytest.raises(CommandFailed) as failed:
            await bus.request("cmd.fleet.crash", b"")
        assert "secret" not in str(failed.value)
        assert "ZeroDivisionError" in caplog.text

    async def test_nobody_serving_is_said_at_once(self, bus: Bus) -> None:
        with pytest.raises(NoResponder) as missing:
            await bus.request("cmd.nobody.home", b"", timeout_seconds=60)
        assert missing.value.subject == "cmd.nobody.home"

    async def test_a_slow_answer_times_out_for_the_caller(self, bus: Bus) -> None:
        release, done = asyncio.Event(), asyncio.Event()

        async def slow(payload: bytes) -> bytes:
            await release.wait()
            done.set()
            return b""

        service = await bus.serve("cmd.fleet.slow", slow, queue="fleet")
        with pytest.raises(RequestTimedOut) as late:
            await bus.request("cmd.fleet.slow", b"", timeout_seconds=0.05)
        assert late.value.timeout_seconds == 0.05
        release.set()
        await service.close()
        assert done.is_set()

    async def test_a_closed_service_takes_no_more(self, bus: Bus) -> None:
        async def echo(payload: bytes) -> bytes:
            return payload

        service = await bus.serve("cmd.fleet.echo", echo, queue="fleet")
        assert await bus.request("cmd.fleet.echo", b"x") == b"x"
        await service.close()
        with pytest.raises(NoResponder):
            await bus.request("cmd.fleet.echo", b"x")

    async def test_commands_are_served_side_by_side(self, bus: Bus) -> None:
        together = asyncio.Barrier(10)

        async def meet(payload: bytes) -> bytes:
            await together.wait()
            return payload

        await bus.serve("cmd.fleet.meet", meet, queue="fleet")
        answers = await asyncio.gather(*(bus.request("cmd.fleet.meet", bytes([n])) for n in range(10)))
        assert answers == [bytes([n]) for n in range(10)]

    async def test_a_command_that_is_too_large_is_refused(self, bus: Bus) -> None:
        with pytest.raises(RequestTooLarge):
            await bus.request("cmd.fleet.echo", b"x" * 2_000_000)


class TestKeyValue:
    async def test_a_key_has_its_last_value(self, bus: Bus) -> None:
        store = await bus.key_value("settings")
        first = await store.put("a/b", b"1")
        second = await store.put("a/b", b"2")
        assert second > first
        assert await store.get("a/b") == ("a/b", b"2", second)
        assert await (await bus.key_value("settings")).get("a/b") == ("a/b", b"2", second)

    async def test_a_missing_key_is_named(self, bus: Bus) -> None:
        store = await bus.key_value("settings")
        with pytest.raises(KeyNotFound) as missing:
            await store.get("nope")
        assert (missing.value.bucket, missing.value.key) == ("settings", "nope")

    async def test_a_deleted_key_is_gone_and_can_come_back(self, bus: Bus) -> None:
        store = await bus.key_value("settings")
        await store.put("k", b"1")
        await store.delete("k")
        await store.delete("never-there")
        with pytest.raises(KeyNotFound):
            await store.get("k")
        assert await store.keys() == []
        await store.put("k", b"2", expected_revision=0)
        assert (await store.get("k")).value == b"2"

    async def test_a_put_can_expect_a_revision(self, bus: Bus) -> None:
        store = await bus.key_value("settings")
        revision = await store.put("k", b"1", expected_revision=0)
        with pytest.raises(RevisionConflict):
            await store.put("k", b"2", expected_revision=0)
        changed = await store.put("k", b"2", expected_revision=revision)
        with pytest.raises(RevisionConflict):
            await store.put("k", b"3", expected_revision=revision)
        assert await store.get("k") == ("k", b"2", changed)

    async def test_keys_are_listed_sorted(self, bus: Bus) -> None:
        store = await bus.key_value("settings")
        assert await store.keys() == []
        for key in ("b", "a", "c"):
            await store.put(key, b"")
        assert await store.keys() == ["a", "b", "c"]

    @pytest.mark.parametrize("key", ["", ".a", "a.", "a b", "a*", "ü"])
    async def test_what_is_no_key_is_refused(self, bus: Bus, key: str) -> None:
        store = await bus.key_value("settings")
        with pytest.raises(InvalidKey):
            await store.put(key, b"")
        with pytest.raises(InvalidKey):
            await store.get(key)

    async def test_too_large_a_value_is_refused(self, bus: Bus) -> None:
        with pytest.raises(TooLarge):
            await (await bus.key_value("settings")).put("k", b"x" * 2_000_000)


class TestObjects:
    @pytest.mark.parametrize("size_bytes", [0, 1, 128 * 1024, 3_000_000])
    async def test_an_object_comes_back_as_it_was(self, bus: Bus, size_bytes: int) -> None:
        store = await bus.objects("files")
        content = bytes(n % 251 for n in range(1_000)) * (size_bytes // 1_000) + b"." * (size_bytes % 1_000)
        await store.put("a name/with: anything", content)
        assert await store.get("a name/with: anything") == content

    async def test_an_object_is_replaced_and_deleted(self, bus: Bus) -> None:
        store = await bus.objects("files")
        assert await store.names() == []
        await store.put("x", b"1")
        await store.put("x", b"2")
        await store.put("b", b"")
        assert await store.get("x") == b"2"
        assert await store.names() == ["b", "x"]
        await store.delete("x")
        assert await store.names() == ["b"]
        with pytest.raises(ObjectNotFound):
            await store.get("x")
        with pytest.raises(ObjectNotFound) as missing:
            await store.delete("y")
        assert (missing.value.bucket, missing.value.name) == ("files", "y")
