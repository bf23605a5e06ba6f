"""Findings: what verification found to be wrong, where, and what to do about it."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..errors import REMEDY

Kind = Literal[
    "manifest_altered",  # a line of the manifest is not what was written, or not in its place
    "manifest_signature",  # a line of the manifest is not signed by who it says, or is no longer signed
    "signer_changed",  # another key signs from here on
    "manifest_unsigned",  # no line of the manifest is signed, though the node has a key
    "segment_missing",  # the manifest tells of a file that is not there
    "segment_altered",  # a sealed file is not what was sealed, by its size, its hash, or its frames
    "segment_root",  # its lines are not those of the manifest's Merkle root, or not as many or as old as it says
    "segment_unknown",  # a sealed file that the manifest does not tell of
    "lines_altered",  # lines are not what was appended, by their chain
    "lines_missing",  # n's that are not there
    "sequence_reused",  # the bus's sequence went back, and no bus that was made anew explains it
    "archive_note_damaged",  # what says which archive has the older segments can't be read
    "archive_damaged",  # an object of the archive is not what was put there
    "summary_damaged",  # derived: what is in a segment
    "blocks_damaged",  # derived: the roots of a segment's Merkle tree
    "ids_damaged",  # derived: where an id is
    "position_damaged",  # derived: up to which line the writer has come
    "side_car_damaged",  # derived: a segment's columns
]

MADE_ANEW = "nothing is lost: the node makes it anew"


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong. `derived`: nothing is lost, and it is made anew from the log.

    `file` is relative to the log's folder; `first` and `last` are the n's of the lines that can't be relied on, where
    that is known, and `offset` is where in the file that begins.
    """

    kind: Kind
    origin: str
    file: str
    what: str
    remedy: str = REMEDY
    first: int | None = None
    last: int | None = None
    offset: int | None = None
    derived: bool = False

    @property
    def is_notice(self) -> bool:
        """Whether a person may have meant it so."""
        return self.kind in ("signer_changed", "manifest_unsigned")

    def __str__(self) -> str:
        place = self.file if self.offset is None else f"{self.file} at byte {self.offset:,}"
        return f"{place}: {self.what}; {self.remedy}"
