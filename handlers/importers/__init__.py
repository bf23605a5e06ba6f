"""Importers: other systems' records of agents at work, read as Rookery's events."""

from .errors import ImportFailed
from .found import EVENT_BYTES_MAX
from .runner import CHUNK_EVENTS_MAX, Progress, Publish, Published, Refused, Rejection, Summary, run_import
from .sources import SOURCES, Option, Source

__all__ = [
    "CHUNK_EVENTS_MAX",
    "EVENT_BYTES_MAX",
    "SOURCES",
    "ImportFailed",
    "Option",
    "Progress",
    "Publish",
    "Published",
    "Refused",
    "Rejection",
    "Source",
    "Summary",
    "run_import",
]
