"""Files: what is put into a folder is taken away again when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from rookery.handlers.transports import Endpoint, Transports
from rookery.handlers.transports.plain_files import write_whole

from .test_contract import call


async def test_a_task_that_is_cancelled_while_it_is_put_there_is_taken_away_again(
    transports: Transports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, written = threading.Event(), threading.Event(), threading.Event()

    def slowly(path: Path, content: bytes) -> None:
        begun.set()
        go_on.wait()
        write_whole(path, content)
        written.set()

    monkeypatch.setattr("rookery.handlers.transports.folder.write_whole", slowly)
    calling = asyncio.create_task(transports.invoke(Endpoint.of("file", str(tmp_path)), call("echo")))
    await asyncio.to_thread(begun.wait)
    calling.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    go_on.set()
    await asyncio.to_thread(written.wait)
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert list(tmp_path.iterdir()) == []
