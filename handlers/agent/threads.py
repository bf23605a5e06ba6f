"""Handlers that are no coroutines run in threads: so many at once, and none holds the process when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from .assigning import RESULT_TIMEOUT_SECONDS
from .calls import Call, LlmCall, ToolCall
from .errors import TaskOver
from .task import Role, Task

AnyCall = TypeVar("AnyCall", bound=Call)
T = TypeVar("T")

logger = logging.getLogger(__name__)


class Threads:
    """Runs functions in daemon threads of their own. One whose time is up can't be ended, only left behind.

    A thread that was left behind keeps its place until its function returns; `on_stuck` is called when all have.
    """

    def __init__(self, count: int, on_stuck: Callable[[], None]) -> None:
        self._room = asyncio.Semaphore(count)
        self._count = count
        self._left_behind = 0
        self._on_stuck = on_stuck

    async def run(self, function: Callable[[Any], Any], argument: object, name: str) -> Any:
        """What the function returns, or raises."""
        await self._room.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Callable[[], Any]] = loop.create_future()
        ended.add_done_callback(lambda _: None)
        context = contextvars.copy_context()

        def carry_out() -> None:
            outcome = _outcome_of(lambda: context.run(function, argument))
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
                loop.call_soon_threadsafe(self._end, ended, outcome)

        try:
            threading.Thread(target=carry_out, name=name, daemon=True).start()
        except BaseException:  # the machine has no thread to spare: the place is free for the next attempt
            self._room.release()
            raise
        try:
            return (await asyncio.shield(ended))()
        except asyncio.CancelledError:
            self._leave_behind(ended, name)
            raise

    def _end(self, ended: asyncio.Future[Callable[[], Any]], outcome: Callable[[], Any]) -> None:
        ended.set_result(outcome)
        self._room.release()

    def _leave_behind(self, ended: asyncio.Future[Callable[[], Any]], name: str) -> None:
        if ended.done():
            return
        logger.warning("%s goes on in its thread, which can't be ended", name)
        self._left_behind += 1
        ended.add_done_callback(self._came_after_all)
        if self._left_behind >= self._count:
            self._on_stuck()

    def _came_after_all(self, _: object) -> None:
        self._left_behind -= 1


class ThreadTask:
    """A `Task` as a handler in a thread sees it: the same names, which block instead of being awaited.

    `tool` and `llm_call` are for `with` instead of `async with`.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._loop = asyncio.get_running_loop()
        self.id = task.id
        self.kind = task.kind
        self.input = task.input
        self.attempt = task.attempt
        self.run_id = task.run_id
        self.agent_id = task.agent_id
        self.traceparent = task.traceparent
        self.deadline: datetime | None = task.deadline

    @property
    def over(self) -> bool:
        """Whether the task has ended, or its time is up: then stop."""
        return self._task.over

    def progress(self, text: str, fraction: float | None = None, *, about: str | None = None) -> None:
        """See `Task.progress`."""
        self._wait(self._task.progress(text, fraction, about=about))

    def message(self, role: Role, content: str, *, about: str | None = None) -> None:
        """See `Task.message`."""
        self._wait(self._task.message(role, content, about=about))

    def remember(
        self, text: str, key: str | None = None, tags: Sequence[str] = (), *, about: str | None = None
    ) -> None:
        """See `Task.remember`."""
        self._wait(self._task.remember(text, key, tags, about=about))

    def insight(
        self,
        text: str,
        kind: str = "insight",
        confidence: float | None = None,
        tags: Sequence[str] = (),
        *,
        about: str | None = None,
    ) -> None:
        """See `Task.insight`."""
        self._wait(self._task.insight(text, kind, confidence, tags, about=about))

    def ask(self, capability: str, input: Any = None, *, timeout_seconds: float = RESULT_TIMEOUT_SECONDS) -> Any:
        """See `Task.ask`."""
        return self._wait(self._task.ask(capability, input, timeout_seconds=timeout_seconds))

    @contextmanager
    def tool(self, name: str, arguments: Any = None) -> Iterator[ToolCall]:
        """See `Task.tool`."""
        with self._during(self._task.tool(name, arguments)) as call:
            yield call

    @contextmanager
    def llm_call(self, provider: str, model: str, *, operation: str = "chat") -> Iterator[LlmCall]:
        """See `Task.llm_call`."""
        with self._during(self._task.llm_call(provider, model, operation=operation)) as call:
            yield call

    @contextmanager
    def _during(self, call: AnyCall) -> Iterator[AnyCall]:
        self._wait(call.__aenter__())
        try:
            yield call
        except BaseException as error:
            self._wait(call.__aexit__(type(error), error, error.__traceback__))
            raise
        self._wait(call.__aexit__(None, None, None))

    def _wait(self, said: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():  # the agent has ended, and this thread goes on
            said.close()
            raise TaskOver(self.id)
        return asyncio.run_coroutine_threadsafe(said, self._loop).result()


def _outcome_of(function: Callable[[], Any]) -> Callable[[], Any]:
    """Call the function, and return what gives its outcome again: a future can't hold every exception."""
    try:
        result = function()
    except BaseException as error:
        raised = error

        def again() -> Any:
            raise raised

        return again
    return lambda: result
