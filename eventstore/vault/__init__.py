"""The vault: the keys with which personal data are sealed, and without which nobody reads them."""

from .exports import exported, imported
from .keys import Key, Vault
from .revealing import FORGOTTEN, MOVED, NO_KEY, UNREADABLE, revealed, revealed_event, revealed_json, revealed_text
from .sealing import Unreadable, opened, seal, sealed_event

__all__ = [
    "FORGOTTEN",
    "MOVED",
    "NO_KEY",
    "UNREADABLE",
    "Key",
    "Unreadable",
    "Vault",
    "exported",
    "imported",
    "opened",
    "revealed",
    "revealed_event",
    "revealed_json",
    "revealed_text",
    "seal",
    "sealed_event",
]
