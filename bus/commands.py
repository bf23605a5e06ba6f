"""Commands by request and reply: asked by anyone, answered by one of the processes that serve the subject.

And what is only said, to whoever listens at that moment.

An error travels as NATS services do it, in the headers `Nats-Service-Error` and `Nats-Service-Error-Code`, with a JSON
problem (`type`, `detail`, `status`) as the body.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from ..schemas import RookeryError
from .connection import Connection
from .contract import Handler, Hear
from .errors import (
    BusError,
    BusUnavailable,
    CommandFailed,
    CommandRefused,
    RequestTimedOut,
    RequestTooLarge,
)

SERVE_COMMANDS_MAX = 64
SERVE_QUEUE_COMMANDS_MAX = 4_096
HEARD_MESSAGES_MAX = 65_536
CLOSE_TIMEOUT_SECONDS = 10.0
_ERROR_TITLE_CHARACTERS_MAX = 200

_ERROR = "Nats-Service-Error"
_ERROR_CODE = "Nats-Service-Error-Code"
_REFUSED = 400
_FAILED = 500

logger = logging.getLogger(__name__)


class _Problem(msgspec.Struct, frozen=True):
    type: str = "about:blank"
    detail: str = ""
    status: int = _FAILED


def refusal(error: RookeryError) -> CommandRefused:
    """What the caller of a command gets to see of its handler's error; a refusal from further on stays as it is."""
    return error if isinstance(error, CommandRefused) else CommandRefused(str(error), type(error).__name__)


async def request(connection: Connection, subject: str, payload: bytes, timeout_seconds: float) -> bytes:
    """See `Bus.request`."""
    if len(payload) > connection.max_payload_bytes:
        raise RequestTooLarge(subject, len(payload), connection.max_payload_bytes)
    try:
        async with asyncio.timeout(timeout_seconds):
            await connection.ready()
            answer = await connection.ask(subject, payload, timeout_seconds=2 * timeout_seconds)
    except TimeoutError:
        if not connection.connected:
            raise connection.unavailable(f"not reached within {timeout_seconds:g} s") from None
        raise RequestTimedOut(subject, timeout_seconds) from None
    if _ERROR_CODE in (answer.headers or {}):
        raise _error_in(answer, subject)
    return answer.data


async def serve(connection: Connection, subject: str, handler: Handler, queue: str) -> Serving:
    """See `Bus.serve`."""
    serving = Serving(connection, subject, handler)
    await serving.start(queue)
    return serving


async def send(connection: Connection, subject: str, payload: bytes) -> None:
    """See `Bus.send`."""
    if len(payload) > connection.max_payload_bytes:
        raise RequestTooLarge(subject, len(payload), connection.max_payload_bytes)
    if not connection.connected:
        raise connection.unavailable("not connected; what is only said is not kept for later")
    await connection.send(subject, payload)


async def listen(connection: Connection, subject: str, hear: Hear) -> Listening:
    """See `Bus.listen`."""

    async def take(message: Msg) -> None:
        hear(message.subject, message.data)

    try:
        subscription = await connection.client.subscribe(subject, cb=take, pending_msgs_limit=HEARD_MESSAGES_MAX)
    except (NatsError, OSError) as error:
        raise connection.unavailable(str(error)) from None
    await connection.flush()  # whatever is said after this is heard
    return Listening(subscription)


class Listening:
    """A pattern that is listened to."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    async def close(self) -> None:
        """Hear no more."""
        with contextlib.suppress(NatsError):
            await self._subscription.unsubscribe()


class Serving:
    """A subject that is being served, so many commands at a time."""

    def __init__(self, connection: Connection, subject: str, handler: Handler) -> None:
        self._connection = connection
        self._subject = subject
        self._handler = handler
        self._room = asyncio.Semaphore(SERVE_COMMANDS_MAX)
        self._commands: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None

    async def start(self, queue: str) -> None:
        """Begin to take commands."""
        try:
            self._subscription = await self._connection.client.subscribe(
                self._subject, queue=queue, cb=self._take, pending_msgs_limit=SERVE_QUEUE_COMMANDS_MAX
            )
        except (NatsError, OSError) as error:
            raise self._connection.unavailable(str(error)) from None
        await self._connection.flush()  # whoever asks after this is heard

    async def close(self) -> None:
        """Take no more commands, wait for those at hand, and cancel what takes too long."""
        if self._subscription is not None:
            with contextlib.suppress(NatsError):
                await self._subscription.unsubscribe()
        if self._commands:
            _, late = await asyncio.wait(self._commands, timeout=CLOSE_TIMEOUT_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _take(self, message: Msg) -> None:
        await self._room.acquire()
        task = asyncio.create_task(self._answer(message), name=f"serve {message.subject}")
        self._commands.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._commands.discard(task)
        self._room.release()

    async def _answer(self, message: Msg) -> None:
        payload, headers = await self._carry_out(message)
        try:
            await self._connection.send(message.reply, payload, headers)
        except BusUnavailable as error:
            logger.warning("the answer to %s could not be sent: %s", message.subject, error)

    async def _carry_out(self, message: Msg) -> tuple[bytes, dict[str, str] | None]:
        try:
            answer = await self._handler(message.data)
            if len(answer) > self._connection.max_payload_bytes:
                raise RequestTooLarge(
                    f"the answer to {message.subject}", len(answer), self._connection.max_payload_bytes
                )
            return answer, None
        except RookeryError as error:
            refused = refusal(error)
            return _problem(_Problem(refused.type, refused.reason, _REFUSED))
        except Exception:
            logger.exception("serving %s failed", message.subject)
            return _problem(_Problem(detail="the handler crashed", status=_FAILED))


def _problem(problem: _Problem) -> tuple[bytes, dict[str, str]]:
    title = problem.detail[:_ERROR_TITLE_CHARACTERS_MAX]
    return msgspec.json.encode(problem), {_ERROR: title, _ERROR_CODE: str(problem.status)}


def _error_in(answer: Msg, subject: str) -> BusError:
    headers = answer.headers or {}
    if headers[_ERROR_CODE] != str(_REFUSED):
        return CommandFailed(subject)
    try:
        problem = msgspec.json.decode(answer.data, type=_Problem)
    except msgspec.MsgspecError:  # another NATS service, which has its own bodies
        return CommandRefused(headers.get(_ERROR, ""), "about:blank")
    return CommandRefused(problem.detail, problem.type)
