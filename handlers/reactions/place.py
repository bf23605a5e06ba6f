"""Where a node's reactions are in its log, in one small file: derived, and made again from the facts in the log."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ...bus import Entity
from ...eventstore import Disk


class Held(msgspec.Struct, frozen=True):
    """A lane that is not level with the log: everything behind `after` is still to be done in it, `n` first.

    Where it is parked, `reaction` with the id `id` waits at its head, since it failed with `error`.
    """

    table: str
    kind: str
    subject: str
    after: int
    n: int = 0
    id: str = ""
    reaction: str = ""
    error: str = ""
    attempts: int = 0
    since: str = ""
    is_parked: bool = False

    @property
    def entity(self) -> Entity:
        """Whose lane it is."""
        return Entity(self.kind, self.subject)


class Place(msgspec.Struct, frozen=True):
    """Everything up to `reached` is done, save what is in the lanes that are held.

    `dead_from` is the first dead letter that was passed by as such, by the schemas whose fingerprint is `registry`: a
    later version may know better. `installed` says behind which n each reaction reacts.
    """

    reached: int = 0
    registry: str = ""
    dead_from: int = 0
    installed: dict[str, int] = {}
    held: list[Held] = []


def read_place(path: Path, disk: Disk) -> Place | None:
    """What the file says; None where there is none that can be read."""
    try:
        return msgspec.json.decode(disk.read(path), type=Place)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def write_place(path: Path, place: Place, disk: Disk) -> None:
    """Make the file say so, durably. May raise `OSError`: the place before stays, and what follows it is met again."""
    disk.replace(path, msgspec.json.encode(place))
