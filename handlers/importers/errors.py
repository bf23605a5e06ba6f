"""What keeps an import from beginning.

RookeryError
└── InvalidInput
    └── ImportFailed    the source, its options or its paths can't be used (path, where, reason, advice)

What is wrong inside a file doesn't end an import: it is `Rejected`, with its place, and shown in the summary.
"""

from __future__ import annotations

from ...schemas import InvalidInput


class ImportFailed(InvalidInput):
    """An import can't begin: `reason` says what is wrong, `advice` what to do about it.

    `path` is the file concerned, and `where` the place in it or the option; either may be empty.
    """

    def __init__(self, reason: str, advice: str, *, path: str = "", where: str = "") -> None:
        self.path = path
        self.where = where
        self.reason = reason
        self.advice = advice
        place = ", ".join(part for part in (path, where) if part)
        super().__init__(f"{place}: {reason}; {advice}" if place else f"{reason}; {advice}")
