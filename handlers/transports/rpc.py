"""RPC: a program that answers JSON-RPC 2.0, a line each way; started when it is needed, and kept warm.

    → {"jsonrpc": "2.0", "id": 1, "method": "code.review", "params": {"id": "as-42", "input": …, "attempt": 1}}
    ← {"jsonrpc": "2.0", "id": 1, "result": …}

The method is the capability. stdout is for answers alone; what a program wants to say to people belongs on stderr.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import msgspec

from .calls import Call, Endpoint, shortened
from .errors import AgentFailed, BadAnswer, Lost, Refused, TransportError, Unreachable
from .programs import LineTooLong, NotStarted, Program

ENDS_AT_ONCE_SECONDS = 0.2
# JSON-RPC's own codes for what is wrong with the request: it would be the next time, too.
_REFUSALS = frozenset({-32600, -32601, -32602})


class _Failure(msgspec.Struct, frozen=True):
    code: int
    message: str
    data: Any = None


class _Answer(msgspec.Struct, frozen=True):
    id: int | str | None = None
    method: str | None = None
    result: Any | msgspec.UnsetType = msgspec.UNSET
    error: _Failure | None = None


_ANSWERS = msgspec.json.Decoder(_Answer)


class RpcTransport:
    """One program, for as long as it answers; another one when it has died."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._line: _Line | None = None
        self._starting = asyncio.Lock()
        self._ids = itertools.count(1)

    async def invoke(self, call: Call) -> Any:
        """See `Transport.invoke`."""
        line = await self._open()
        answer = await self._asked(line, next(self._ids), call)
        if answer.error is not None:
            kind = Refused if answer.error.code in _REFUSALS else AgentFailed
            raise kind(self._endpoint, f"answered error {answer.error.code}: {shortened(answer.error.message)}")
        if answer.result is msgspec.UNSET:
            raise BadAnswer(self._endpoint, "answered with neither a result nor an error")
        return answer.result

    async def check(self) -> None:
        """Whether the program runs, or can be started and doesn't end at once."""
        is_new = self._line is None or self._line.is_over
        line = await self._open()
        if is_new and (reason := await line.ends_within(ENDS_AT_ONCE_SECONDS)):
            raise Unreachable(self._endpoint, reason)

    async def close(self) -> None:
        """See `Transport.close`."""
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def _open(self) -> _Line:
        async with self._starting:
            if self._line is None or self._line.is_over:
                await self.close()
                self._line = await _Line.open(self._endpoint)
            return self._line

    async def _asked(self, line: _Line, id: int, call: Call) -> _Answer:
        try:
            return await line.ask(id, call)
        except asyncio.CancelledError:
            # Whoever else waits may yet be answered. A program that nobody else waits for may hang: it is ended.
            if not line.waited_for and line is self._line:
                await self.close()
            raise


class _Line:
    """One run of the program, and who waits for what it answers."""

    def __init__(self, endpoint: Endpoint, program: Program) -> None:
        self._endpoint = endpoint
        self._program = program
        self.waited_for: dict[int, asyncio.Future[_Answer]] = {}
        self._says_no_more = False
        self._reading = asyncio.create_task(self._read(), name=f"answers of {program.pid}")

    @classmethod
    async def open(cls, endpoint: Endpoint) -> _Line:
        try:
            return cls(endpoint, await Program.start(endpoint.command))
        except NotStarted as error:
            raise Unreachable(endpoint, f"can't be started: {error}") from None

    @property
    def is_over(self) -> bool:
        return self._says_no_more or self._program.has_ended

    async def ends_within(self, seconds: float) -> str | None:
        """Why it ended, if it did."""
        await asyncio.wait([self._reading], timeout=seconds)
        return self._program.why() if self.is_over else None

    async def ask(self, id: int, call: Call) -> _Answer:
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self.waited_for[id] = answer
        question = {"jsonrpc": "2.0", "id": id, "method": call.capability, "params": call}
        try:
            await self._program.write(msgspec.json.encode(question))
            return await answer
        except OSError:
            await asyncio.wait([self._reading])  # which says why, once all it said has been read
            return await answer
        finally:
            self.waited_for.pop(id, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, also where whoever waited was cancelled

    async def close(self) -> None:
        if not self._says_no_more:  # else it ends by itself, and says why
            self._reading.cancel()
        await asyncio.wait([self._reading])
        await self._program.end()
        self._fail(Lost(self._endpoint, "was ended while it was at work"))

    async def _read(self) -> None:
        """Give each answer to whoever waits for it, until the program says no more, or nonsense."""
        try:
            while (said := await self._program.read()) is not None:
                self._take(_ANSWERS.decode(said))
        except LineTooLong as error:
            self._fail(BadAnswer(self._endpoint, str(error)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            shown = shortened(said.decode(errors="replace")[:200]) if said else ""
            reason = f"wrote to stdout what is no JSON-RPC answer ({error}): {shown!r}; logs belong on stderr"
            self._fail(BadAnswer(self._endpoint, reason))
        self._says_no_more = True
        await self._program.end()
        self._fail(Lost(self._endpoint, self._program.why()))

    def _take(self, answer: _Answer) -> None:
        """An answer that nobody waits for came too late; a message of the program's own is none."""
        if answer.method is None and isinstance(answer.id, int):
            waiting = self.waited_for.get(answer.id)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        elif answer.method is None and answer.error is not None:  # it could not even read the question's id
            self._fail(
                Refused(self._endpoint, f"answered error {answer.error.code}: {shortened(answer.error.message)}")
            )

    def _fail(self, error: TransportError) -> None:
        for waiting in self.waited_for.values():
            if not waiting.done():
                waiting.set_exception(error)
