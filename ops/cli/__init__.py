"""The command line."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]

EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    The commands are loaded only in here, so that Ctrl-C is quiet from the first moment.
    """
    try:
        from .commands import run

        return run(arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
