"""The node's key: a seed in the data folder, made at the first start, by which it signs what it seals.

It never leaves the machine: it is in no archive and no log. Whoever restores an archive elsewhere begins with a key of
their own, and the manifest says from which line on.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..eventstore import Signer
from ..eventstore.signing import new_seed
from ..schemas import RookeryError
from .data_folder import DataFolderUnusable

KEY_FILE = "node.nk"


class NodeKeyUnusable(RookeryError):
    """The file of the node's key holds no key."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"{path} is not the key of a node: {reason}; bring it back from a backup, or remove it: the node then "
            "begins with a new key, and `rookery verify` says from which segment on"
        )


def signer_in(folder: Path) -> Signer:
    """The signer of the node that the data folder belongs to, with a new key if it has none yet."""
    path = folder / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        seed = path.read_bytes().strip()
    except OSError as error:
        raise DataFolderUnusable(folder, error.strerror or str(error)) from None
    try:
        return Signer(seed)
    except ValueError as error:
        raise NodeKeyUnusable(path, str(error)) from None


def _make(path: Path) -> None:
    """A new key, for the owner alone, which is there as a whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, new_seed() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    unfinished.replace(path)
