"""File: a task is put into a folder as `ID.json`, and its result appears beside it as `ID.result.json`.

What can't be done is told in `ID.error.json`. It is the convention of a watched folder (docs/howto/folder-queue.md), so
that a node that watches one can be such an agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from ...schemas import derived_id
from .calls import ANSWER_BYTES_MAX, Call, Endpoint, shortened
from .errors import AgentFailed, BadAnswer, TransportError, Unreachable
from .plain_files import NotPlain, read_plain, write_whole

POLL_SECONDS_MIN = 0.02
POLL_SECONDS_MAX = 0.5


class FolderTransport:
    """One folder, in which somebody else does what is put there.

    Every file is written under a name that begins with a dot, and renamed when it is whole.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._folder = Path(endpoint.address)

    async def invoke(self, call: Call) -> Any:
        """See `Transport.invoke`. A task that is cancelled before somebody took it is taken away again."""
        name = derived_id(call.id)  # of the same length and letters, whatever the id: it is to be a file's name
        task = self._folder / f"{name}.json"
        try:
            await self._put(task, call)
            return await self._result(name)
        finally:
            for path in (task, self._at(name, "result"), self._at(name, "error")):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    async def check(self) -> None:
        """Whether tasks can be put there. Whether anybody takes them, only a task can tell."""
        if not os.access(self._folder, os.W_OK | os.X_OK) or not self._folder.is_dir():
            raise Unreachable(self._endpoint, "is no folder that can be written to")

    async def close(self) -> None:
        """See `Transport.close`."""

    def _at(self, name: str, what: str) -> Path:
        return self._folder / f"{name}.{what}.json"

    async def _put(self, task: Path, call: Call) -> None:
        await self.check()
        content = {
            "id": call.id,
            "capability": call.capability,
            "input": call.input,
            "timeout_seconds": call.timeout_seconds,
        }
        writing = asyncio.ensure_future(asyncio.to_thread(write_whole, task, msgspec.json.encode(content)))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])  # else it would be put there after it was taken away
            raise
        except OSError as error:
            raise Unreachable(self._endpoint, f"can't be written to: {error.strerror}") from None

    async def _result(self, name: str) -> Any:
        """Look until one of the two is there, less often the longer it takes."""
        pause = POLL_SECONDS_MIN
        while True:
            if failed := self._read(self._at(name, "error")):
                told = failed.get("error")
                raise AgentFailed(self._endpoint, f"failed: {shortened(told if isinstance(told, str) else str(told))}")
            if done := self._read(self._at(name, "result")):
                if "result" not in done:
                    raise BadAnswer(self._endpoint, f"wrote {name}.result.json without a `result` in it")
                return done["result"]
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, POLL_SECONDS_MAX)

    def _read(self, path: Path) -> dict[str, Any] | None:
        """What the file says; None while there is none."""
        try:
            content = read_plain(path, ANSWER_BYTES_MAX)
        except FileNotFoundError:
            return None
        except NotPlain as error:
            raise self._bad(path, str(error)) from None
        except OSError as error:
            raise self._bad(path, error.strerror or str(error)) from None
        try:
            return msgspec.json.decode(content, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._bad(path, f"{error}: it is to be a JSON object, renamed to its name when it is whole") from None

    def _bad(self, path: Path, reason: str) -> TransportError:
        return BadAnswer(self._endpoint, f"wrote {path.name}, which can't be read: {reason}")
