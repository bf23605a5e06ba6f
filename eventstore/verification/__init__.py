"""Verification: every file of the log is held against what it must be, and all that is wrong is told.

It reads files and nothing else, so that a log which no longer opens can be verified, and one that a node is writing.
"""

from .archived import bytes_to_verify_in, verify_archive
from .files import bytes_to_verify, verify
from .findings import Finding, Kind

__all__ = ["Finding", "Kind", "bytes_to_verify", "bytes_to_verify_in", "verify", "verify_archive"]
