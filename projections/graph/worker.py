"""A process that asks a copy of the graph, or makes one of the past, so that what explodes takes nothing with it.

It reads frames from standard input and writes frames to standard output: four bytes of length, then as many. A question
is one frame of JSON; an answer is its body in frames, an empty frame, and a frame of JSON with what went wrong. The
kernel ends the process when a question has run out of its seconds, and keeps more memory and the network from it.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from pyoxigraph import Store

from ..errors import ProjectionError, QueryFailed, QueryRefused
from . import past
from .algorithms import communities, neighbours, path, stats
from .exchange import check, export
from .sparql import answer, read

MEMORY_BYTES_MAX = 1024 * 1024 * 1024  # beyond what an idle worker has
FRAME_BYTES_MAX = 1024 * 1024
NICENESS = 10
LENGTH_BYTES = 4
NETWORKED = "--networked"  # an argument
_NEW_USER_AND_NETWORK = 0x1000_0000 | 0x4000_0000

GRAPH_QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "neighbours": neighbours,
    "path": path,
    "communities": communities,
    "stats": stats,
}


class Frames(io.RawIOBase):
    """A pipe of frames. What is written to it as a file goes out as frames of bounded size."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    def receive(self) -> bytes | None:
        """The next frame; None at the end."""
        head = self._incoming.read(LENGTH_BYTES)
        return self._incoming.read(int.from_bytes(head, "big")) if len(head) == LENGTH_BYTES else None

    def send(self, frame: bytes) -> None:
        """Write one frame."""
        self._outgoing.write(len(frame).to_bytes(LENGTH_BYTES, "big") + frame)

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, content: Any) -> int:
        """Write content as frames."""
        view = memoryview(content)
        for begin in range(0, len(view), FRAME_BYTES_MAX):
            self.send(bytes(view[begin : begin + FRAME_BYTES_MAX]))
        return len(view)

    def end(self, error: dict[str, str] | None = None) -> None:
        """Write the frame that ends an answer, `error` before it where there is one."""
        self.send(b"")
        self.send(json.dumps(error or {}).encode())
        self._outgoing.flush()


def work(frames: Frames) -> None:
    """Answer questions until there are no more."""
    folder, store = "", Store()
    while (frame := frames.receive()) is not None:
        question = json.loads(frame)
        signal.setitimer(signal.ITIMER_REAL, question["seconds"])
        try:
            if question["kind"] == "past":
                frames.write(json.dumps(past.make(**question["options"])).encode())
            else:
                if folder != question["folder"]:
                    folder, store = question["folder"], Store.read_only(question["folder"])
                _answer(store, question, frames)
            frames.end()
        except QueryRefused as error:
            frames.end({"refused": str(error)})
        except ProjectionError as error:
            frames.end({"failed": str(error)})
        except OSError as error:
            frames.end({"unreadable": f"the graph can't be read: {error}"})
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(store: Store, question: dict[str, Any], frames: Frames) -> None:
    kind, options = question["kind"], question["options"]
    if kind == "sparql":
        frames.write(answer(store, read(options.pop("text")), options.pop("media_type"), **options))
    elif kind == "export":
        export(store, frames, **options)
    elif kind == "check":
        frames.write(json.dumps(check(**options)).encode())
    elif kind in GRAPH_QUESTIONS:
        frames.write(json.dumps(GRAPH_QUESTIONS[kind](store, **options)).encode())
    else:
        raise QueryFailed(f"nothing answers {kind!r}")


def confine(*, networked: bool) -> None:
    """Keep more memory than `MEMORY_BYTES_MAX`, and the network where the system lets us, from this process.

    Who makes a graph of the past runs nobody's queries, and may have to fetch what only the log's archive has.
    """
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not networked:
        with suppress(OSError, AttributeError):  # elsewhere than on Linux, that no query with SERVICE is begun must do
            ctypes.CDLL(None).unshare(_NEW_USER_AND_NETWORK)
    with suppress(OSError, ValueError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES_MAX,) * 2)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node, which then closes our standard input
    confine(networked=NETWORKED in sys.argv)
    work(Frames(sys.stdin.buffer, sys.stdout.buffer))
