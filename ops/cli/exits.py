"""How a command ends: its exit code, and what it says when something went wrong."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable

import click

from ...schemas import InvalidInput, RookeryError
from . import EXIT_INTERRUPTED
from .table import harmless

EXIT_FAILED = 1
EXIT_INVALID = 2
EXIT_BROKEN_PIPE = 141

TRACEBACK_VARIABLE = "ROOKERY_TRACEBACK"
CONTEXT_CHARACTERS = 20
OUTPUT_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}


class OutputClosed(Exception):
    """Nobody reads the output any more, as in `rookery tail | head`."""


def exit_code_of(command: Callable[[], object]) -> int:
    """Run `command`, tell the user what went wrong if something did, and return the exit code."""
    _replace_closed_streams()
    _buffer_output()
    try:
        code = command()
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except RookeryError as error:
        return _complain(str(error), EXIT_INVALID if isinstance(error, InvalidInput) else EXIT_FAILED)
    except UnicodeEncodeError as error:
        return _complain(f"{_surroundings(error)!r} is not UTF-8; Rookery keeps nothing else", EXIT_INVALID)
    except (OutputClosed, BrokenPipeError):
        _let_go_of_output()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        return _complain(_os_reason(error), EXIT_FAILED)
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        return _complain(
            f"Rookery failed unforeseen: {type(error).__name__}: {error}; "
            f"please report it, with what {TRACEBACK_VARIABLE}=1 in front of the command prints",
            EXIT_FAILED,
        )
    return code if isinstance(code, int) else 0


def _replace_closed_streams() -> None:
    """Nothing is read from, and nothing is seen of, what the caller closed, as in `rookery status >&-`."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


def _buffer_output() -> None:
    """An answer is written whole or fails: PYTHONUNBUFFERED leaves writes that stop halfway, and nobody is told."""
    bare = sys.stdout
    if isinstance(getattr(bare, "buffer", None), io.RawIOBase):
        sys.stdout = os.fdopen(bare.fileno(), "w", encoding=bare.encoding, errors=bare.errors, closefd=False)


def _complain(reason: str, code: int) -> int:
    click.echo(f"error: {harmless(reason)}", err=True)  # much of it is what others said
    return code


def _surroundings(error: UnicodeEncodeError) -> str:
    return error.object[max(0, error.start - CONTEXT_CHARACTERS) : error.end + CONTEXT_CHARACTERS]


def _os_reason(error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.filename is not None:
        return f"{error.filename}: {reason}"
    if error.errno in OUTPUT_ERRORS:
        _let_go_of_output()
        return f"can't write the output: {reason}"
    return reason


def _let_go_of_output() -> None:
    """What is still buffered can't be written: keep the interpreter from trying, and complaining, on its way out."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
