"""The benchmarks, each beside a named rival in the same run."""

from collections.abc import Callable

from .figures import Figure, Report, machine
from .live import live
from .publish import publish
from .rebuild import rebuild
from .startup import startup

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "publish": publish,
    "live": live,
    "rebuild": rebuild,
    "startup": startup,
}

__all__ = ["BENCHMARKS", "Figure", "Report", "machine"]
