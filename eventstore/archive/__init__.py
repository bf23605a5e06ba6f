"""The archive: a verified copy of the log in cold storage, what may then leave the hot tier, and the way back."""

from .archiving import Archived, Progress, Watch, archive, unwatched
from .catalogue import Catalogue, file_object, got, read_catalogue
from .restoring import ensure_restored, restore
from .trimming import Trimmed, trim

__all__ = [
    "Archived",
    "Catalogue",
    "Progress",
    "Trimmed",
    "Watch",
    "archive",
    "ensure_restored",
    "file_object",
    "got",
    "read_catalogue",
    "restore",
    "trim",
    "unwatched",
]
