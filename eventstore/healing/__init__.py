"""Healing: what is damaged in the log is made whole from whatever has the bytes, and from nothing else.

What a source gives is held against what is known from elsewhere before it replaces anything: a sealed segment against
the manifest's hash, the manifest against its chain and the segments, open lines against the chain before and behind
them. What was damaged is kept beside, as `<name>.damaged`.
"""

from .origins import DAMAGED_KEPT_MAX, DAMAGED_SUFFIX, Healed, Healing, Unhealed, heal, heal_open, raise_unhealed
from .sources import ArchiveSource, BusSource, Source

__all__ = [
    "DAMAGED_KEPT_MAX",
    "DAMAGED_SUFFIX",
    "ArchiveSource",
    "BusSource",
    "Healed",
    "Healing",
    "Source",
    "Unhealed",
    "heal",
    "heal_open",
    "raise_unhealed",
]
