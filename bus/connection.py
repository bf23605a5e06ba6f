"""The connection to nats-server: it comes back by itself, and a broken one is noticed at once.

nats-py waits for an answer until its time is up even when the connection that would bring it is gone. Here questions
are asked through one inbox of our own: when the connection breaks, everyone who waits hears of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import StaleConnectionError

from .errors import BusUnavailable, NoResponder

CONNECT_TIMEOUT_SECONDS = 5.0
RECONNECT_WAIT_SECONDS = 0.25
PING_INTERVAL_SECONDS = 10
OUTBOUND_BYTES_MAX = 64 * 1024 * 1024
INBOUND_EVENTS_MAX = 100_000
INBOUND_BYTES_MAX = 256 * 1024 * 1024
ANSWER_TIMEOUT_SECONDS = 5.0
# How long a call that may safely be repeated goes on trying while the bus is away.
PATIENCE_SECONDS = 30.0

_PAUSE_SECONDS = 0.05
_PAUSE_SECONDS_MAX = 1.0
_NOBODY_THERE = "503"
_JWT = b"BEGIN NATS USER JWT"

_START_ONE = "start one with `rookery up`, or name a running one with ROOKERY_NATS_URL"
_CHECK_CREDENTIALS = "check the user and password in the URL, or the credentials file"

Answer = TypeVar("Answer")
logger = logging.getLogger(__name__)


class Connection:
    """One connection, which reconnects for ever until it is closed. `client` is nats-py's; `reconnects` counts.

    `url` may name several servers of one cluster, with commas between: it is connected to one of them, and goes to
    another when that is gone.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = Client()
        self._up = asyncio.Event()
        self.reconnects = 0
        self._inbox = ""
        self._tokens = itertools.count()
        self._questions: dict[str, _Question] = {}
        self._last_error = ""
        self._on_reconnect: list[Callable[[], None]] = []

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        name: str = "rookery",
        credentials: Path | None = None,
        timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
    ) -> Connection:
        """Connect, trying again for at most `timeout_seconds`. Raises `BusUnavailable`."""
        connection = cls(url)
        try:
            async with asyncio.timeout(timeout_seconds):
                await connection._connect(name, credentials)
        except (TimeoutError, OSError, NatsError) as error:
            await connection.client.close()
            if _refuses_us(error):
                raise connection.unavailable(f"{error}; {_CHECK_CREDENTIALS}") from None
            reason = connection._last_error or str(error) or "no answer"
            raise connection.unavailable(f"{reason}; {_START_ONE}") from None
        return connection

    @property
    def connected(self) -> bool:
        """Whether the bus can be reached right now."""
        return self._up.is_set() and self.client.is_connected

    @property
    def shown_url(self) -> str:
        """The URL without the passwords that it may carry."""
        return shown_url(self.url)

    @property
    def max_payload_bytes(self) -> int:
        """The largest message that the server takes, headers included."""
        return self.client.max_payload

    async def ready(self) -> None:
        """Wait until the bus can be reached. Raises `BusUnavailable` once the connection is closed."""
        while not self.connected:
            if self.client.is_closed:
                raise self.unavailable(f"the connection is closed ({self._last_error or 'by this program'})")
            if self._up.is_set():  # nats-py knows already and hasn't told us yet
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                await self._up.wait()

    def unavailable(self, reason: str) -> BusUnavailable:
        """The error that says why this bus can't be reached."""
        return BusUnavailable(self.shown_url, reason)

    def on_reconnect(self, notice: Callable[[], None]) -> Callable[[], None]:
        """Call `notice` after each reconnect; returns what takes that back."""
        self._on_reconnect.append(notice)
        return lambda: self._on_reconnect.remove(notice)

    async def send(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> None:
        """Publish without an answer. Raises `BusUnavailable` if that isn't even tried."""
        try:
            await self.client.publish(subject, payload, headers=headers)
        except (NatsError, OSError) as error:
            raise self.unavailable(str(error)) from None

    async def flush(self) -> None:
        """Return when the server has taken what was sent. Raises `BusUnavailable`: then nobody knows."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                await asyncio.shield(self.client.flush())  # else one that is cancelled as the answer comes goes on
        except (TimeoutError, NatsError, OSError) as error:
            raise self.unavailable(str(error) or "no answer") from None

    async def ask(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        timeout_seconds: float = ANSWER_TIMEOUT_SECONDS,
    ) -> Msg:
        """Publish, and return the answer.

        Raises `NoResponder`, or `BusUnavailable` if none came, in which case the outcome is unknown.
        """
        answers = await self.ask_many(subject, payload, _first, headers=headers, timeout_seconds=timeout_seconds)
        return answers[0]

    async def ask_many(
        self,
        subject: str,
        payload: bytes,
        is_last: Callable[[Msg], bool],
        *,
        headers: dict[str, str] | None = None,
        timeout_seconds: float = ANSWER_TIMEOUT_SECONDS,
    ) -> list[Msg]:
        """Like `ask`, for a question with several answers: all of them, up to the one that `is_last`."""
        question = _Question(is_last)
        token = str(next(self._tokens))
        self._questions[token] = question
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.client.publish(subject, payload, reply=self._inbox + token, headers=headers)
                await question.answered
        except TimeoutError:
            raise self.unavailable(f"no answer within {timeout_seconds:g} s") from None
        except (NatsError, OSError) as error:
            raise self.unavailable(str(error)) from None
        finally:
            del self._questions[token]
        if _status(question.answers[-1]) == _NOBODY_THERE:
            raise NoResponder(subject)
        return question.answers

    async def persist(
        self, attempt: Callable[[], Awaitable[Answer]], *, deadline_seconds: float = PATIENCE_SECONDS
    ) -> Answer:
        """Try, and try again while the bus is away: only for what may safely be done twice."""
        pauses = pauses_seconds()
        deadline = asyncio.get_running_loop().time() + deadline_seconds
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    await self.ready()
                    return await attempt()
            except TimeoutError:
                raise self.unavailable(f"no answer within {deadline_seconds:g} s") from None
            except (BusUnavailable, NoResponder) as error:
                pause = next(pauses)
                if self.client.is_closed or asyncio.get_running_loop().time() + pause >= deadline:
                    raise self.unavailable(str(error)) from None
                await asyncio.sleep(pause)

    async def close(self) -> None:
        """Send what is still to be sent, and disconnect."""
        if self.connected:
            try:
                await self.flush()
            except BusUnavailable:
                logger.warning("the last messages to %s may not have been sent", self.shown_url)
        with contextlib.suppress(OSError), _unless_cancelled():  # what is pending is sent even to a server that is gone
            await self.client.close()
        await self._end_reconnecting()

    async def _end_reconnecting(self) -> None:
        """Cancel it until it ends: `wait_for` of Python 3.11 loses one that comes as a server refuses."""
        reconnecting = self.client._reconnection_task
        while reconnecting is not None and not reconnecting.done():
            reconnecting.cancel()
            await asyncio.wait([reconnecting], timeout=_PAUSE_SECONDS)

    async def _connect(self, name: str, credentials: Path | None) -> None:
        await self.client.connect(
            servers_in(self.url),
            name=name,
            **_identity(credentials),
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT_SECONDS,  # type: ignore[arg-type] # nats-py sleeps it: a float is fine
            ping_interval=PING_INTERVAL_SECONDS,
            pending_size=OUTBOUND_BYTES_MAX,
            flush_timeout=ANSWER_TIMEOUT_SECONDS,
            error_cb=self._errored,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
            closed_cb=self._closed,
        )
        self._inbox = self.client.new_inbox() + "."
        await self.client.subscribe(
            self._inbox + "*",
            cb=self._answered,
            pending_msgs_limit=INBOUND_EVENTS_MAX,
            pending_bytes_limit=INBOUND_BYTES_MAX,
        )
        self._up.set()

    async def _answered(self, message: Msg) -> None:
        question = self._questions.get(message.subject[len(self._inbox) :])
        if question is not None:
            question.take(message)

    async def _errored(self, error: Exception) -> None:
        self._last_error = str(error) or type(error).__name__
        if not self._inbox and _refuses_us(error):
            raise error  # which ends nats-py's attempts to connect: the next ones would end the same way
        expected = not self._inbox or isinstance(error, OSError | StaleConnectionError)
        logger.log(logging.DEBUG if expected else logging.WARNING, "%s: %s", self.shown_url, self._last_error)

    async def _disconnected(self) -> None:
        if self.client.is_closed:
            return
        self._up.clear()
        logger.warning("lost the connection to %s; reconnecting", self.shown_url)
        self._break_questions("the connection broke")

    async def _reconnected(self) -> None:
        logger.info("reconnected to %s", self.shown_url)
        self._last_error = ""
        self.reconnects += 1
        self._up.set()
        for notice in list(self._on_reconnect):
            notice()

    async def _closed(self) -> None:
        self._break_questions("the connection was closed")
        self._up.set()  # whoever waits for the bus must see that it never comes back
        for notice in list(self._on_reconnect):
            notice()

    def _break_questions(self, reason: str) -> None:
        for question in self._questions.values():
            if not question.answered.done():
                question.answered.set_exception(self.unavailable(reason))


class _Question:
    """Somebody who waits for answers."""

    __slots__ = ("answered", "answers", "is_last")

    def __init__(self, is_last: Callable[[Msg], bool]) -> None:
        self.is_last = is_last
        self.answers: list[Msg] = []
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, message: Msg) -> None:
        if self.answered.done():
            return
        self.answers.append(message)
        if _status(message) == _NOBODY_THERE or self.is_last(message):
            self.answered.set_result(None)


def servers_in(url: str) -> list[str]:
    """The servers that a URL names."""
    return [one.strip() for one in url.split(",") if one.strip()]


def shown_url(url: str) -> str:
    """The URL as anybody may see it: without the passwords and tokens that it may carry."""
    return ",".join(map(_without_secret, servers_in(url)))


def pauses_seconds() -> itertools.chain[float]:
    """How long to pause before each next attempt: longer each time, up to a bound."""
    growing = itertools.takewhile(lambda pause: pause < _PAUSE_SECONDS_MAX, (_PAUSE_SECONDS * 2**n for n in range(99)))
    return itertools.chain(growing, itertools.repeat(_PAUSE_SECONDS_MAX))


@contextlib.contextmanager
def _unless_cancelled() -> Iterator[None]:
    """Go on after a `CancelledError` that isn't ours: nats-py cancels its reader while that waits for the stream's end.

    The stream then tells everybody who waits for its end that they were cancelled.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise


def _identity(credentials: Path | None) -> dict[str, Any]:
    """What nats-py is to be told of a credentials file: a seed alone, or one that carries a JWT as well.

    Raises `OSError`.
    """
    if credentials is None:
        return {}
    path = credentials.expanduser()
    holds_jwt = _JWT in path.read_bytes()
    return {"user_credentials" if holds_jwt else "nkeys_seed": str(path)}


def _without_secret(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is not None:
        return url.replace(f":{parts.password}@", ":***@", 1)
    return url.replace(f"//{parts.username}@", "//***@", 1) if parts.username else url  # alone, it is a token


def _refuses_us(error: BaseException) -> bool:
    return "authorization" in str(error).lower() or "authentication" in str(error).lower()


def _first(_: Msg) -> bool:
    return True


def _status(message: Msg) -> str | None:
    return message.headers.get("Status") if message.headers and not message.data else None
