"""Folders as queues: a task file that is dropped is an assignment, and its result lands beside it."""

from .offices import HttpOffice, NodeOffice, Office
from .queue import FolderQueue, FolderUnusable
from .watched import WatchedFolders

__all__ = ["FolderQueue", "FolderUnusable", "HttpOffice", "NodeOffice", "Office", "WatchedFolders"]
