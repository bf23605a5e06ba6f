"""Files in folders that others write to as well: read and written so that no link leads elsewhere and nothing waits."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


class NotPlain(Exception):
    """Something else than a file is there, or more of it than may be."""


def read_plain(path: Path, bytes_max: int) -> bytes:
    """The bytes of a plain file. Raises `NotPlain` for links, pipes, folders and what is too large, and `OSError`."""
    if path.is_symlink():
        raise NotPlain("it is a link: put the file itself here, so that nothing outside of this folder is read")
    # O_NONBLOCK: a pipe would be waited for. O_NOFOLLOW: a link may have taken the file's place.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotPlain("it is no plain file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(bytes_max + 1)
    finally:
        os.close(descriptor)
    if len(content) > bytes_max:
        raise NotPlain(f"it has more than {bytes_max:,} bytes: put the bulk elsewhere, and its name here")
    return content


def write_whole(path: Path, content: bytes) -> None:
    """Put the content there, durably, whole or not at all, in the place of what was there. Raises `OSError`."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    # O_EXCL: a file of our own, and not what somebody has put there to be written over.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as new:
                new.write(content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
