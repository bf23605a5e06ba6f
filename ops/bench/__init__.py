"""The benchmarks, each beside a named rival in the same run."""

from collections.abc import Callable

from .agents import agents
from .figures import Figure, Report, machine
from .fleet import fleet
from .git_import import git_import
from .graph import graph
from .live import live
from .live_readers import live_readers
from .otlp import otlp
from .past import past
from .proficiency import proficiency
from .publish import publish
from .query import query
from .rebuild import rebuild
from .snapshot import snapshot
from .startup import startup
from .sync import sync
from .trust import trust

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "publish": publish,
    "live": live,
    "rebuild": rebuild,
    "startup": startup,
    "query": query,
    "live_readers": live_readers,
    "graph": graph,
    "git": git_import,
    "snapshot": snapshot,
    "otlp": otlp,
    "agents": agents,
    "past": past,
    "trust": trust,
    "sync": sync,
    "proficiency": proficiency,
    "fleet": fleet,
}

__all__ = ["BENCHMARKS", "Figure", "Report", "machine"]
