"""What can go wrong with the log, and what to do about it.

RookeryError
└── EventStoreError
    ├── InvalidOrigin       a name that cannot be an origin's, because origins are folders (origin)
    ├── LogLocked           another process is writing this origin (path)
    ├── LogReadOnly         this log was opened to be read (path)
    ├── LogClosed           this log was closed (path)
    ├── LogWriteFailed      the disk refused; nothing was acknowledged, and a later append works (path, reason)
    ├── LogDamaged          bytes are not what was written, beyond what a crash leaves behind (path, what, remedy)
    ├── NotMirrored         this origin is written by this node's own ingest (origin)
    ├── NotOwn              this origin is another node's; here it is only mirrored (origin)
    ├── MirrorRefused       what came from another node is not what follows here (origin, n, reason)
    ├── UnknownLine         a line that the log does not have yet (origin, n, last)
    ├── NotYetSealed        there is no proof yet of a line whose segment still grows (origin, n)
    ├── ProofRefused        what should prove a line does not (what)
    ├── SourceFailed        what may have the log's bytes could not give them now (source, reason)
    ├── HealingFailed       lines are damaged, and nothing has them (lost)
    ├── BusRegressed        the bus no longer holds what the log took from it (origin, position, reason)
    ├── BusWithholds        the bus counts events that it gives to nobody (origin, position, lost)
    ├── VaultError          what can go wrong with the keys of people
    │   ├── VaultDamaged    the file of keys is not what was written (path, what)
    │   ├── VaultWriteFailed  the disk refused; what was to be forgotten is when it is asked again (path, reason)
    │   ├── KeyGone         the key of this pseudonym is not here (pseudonym, is_forgotten); an InvalidInput as well
    │   └── InvalidExport   a file of keys that can't be read (reason); an InvalidInput as well
    └── ArchiveError        what can go wrong with the copy in cold storage
        ├── InvalidArchive      a place that cannot hold one (place, reason); an InvalidInput as well
        ├── NoArchive           there is none at this place (place, reason)
        ├── ArchiveUnavailable  cold storage refused, or did not answer (place, object, reason)
        ├── ArchiveDamaged      an object is not what was archived (place, object, reason)
        │   └── ObjectMissing   it is no longer there
        ├── ObjectsLost         the archive alone had them, and they are missing or damaged (place, objects)
        ├── ForeignArchive      it is another log's, or ahead of this one (place, origin, reason)
        ├── ColdLimit           more was wanted at once than may be fetched (bytes_max)
        ├── RestoreRefused      there is a log already where one should be restored (folder)
        ├── RestoreFailed       the disk refused what should be restored (folder, reason)
        └── RestoreUnfinished   a log was begun to be restored, and is not whole (folder)
"""

from __future__ import annotations

from pathlib import Path

from ..schemas import InvalidInput, RookeryError

REMEDY = "restore it from the archive, a peer or a backup"
LOST_NAMED_MAX = 5


class EventStoreError(RookeryError):
    """The root of everything that the event store raises."""


class InvalidOrigin(EventStoreError):
    """A name that cannot be an origin's."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        super().__init__(
            f"{origin!r} cannot name an origin: origins are folders, so a name has up to 63 letters, digits, "
            "`.`, `_` or `-`, and begins with a letter or a digit"
        )


class LogLocked(EventStoreError):
    """Another process is writing this origin: an origin has one writer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path.parent} is being written by another process; stop that one, or open the log to read")


class LogReadOnly(EventStoreError):
    """This log was opened with `writable=False`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} was opened to be read; only the node that owns it may write")


class LogClosed(EventStoreError):
    """This log was closed; what was appended until then is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} was closed; open the log again to write")


class LogWriteFailed(EventStoreError):
    """The disk refused a write. What was not acknowledged is not in the log, and a later append works."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"cannot write {path}: {reason}; free space or repair the disk: nothing is lost, because the events "
            "stay on the bus until they are in the log"
        )


class LogDamaged(EventStoreError):
    """Bytes on disk are not what was written, and no crash explains it."""

    def __init__(self, path: Path, what: str, remedy: str) -> None:
        self.path = path
        self.what = what
        self.remedy = remedy
        super().__init__(f"{path} is damaged: {what}; {remedy}")


class NotMirrored(EventStoreError):
    """An origin that is this node's own: its ingest alone writes it."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        super().__init__(f"{origin!r} is this node's own origin: only its ingest writes it, and nothing is mirrored")


class NotOwn(EventStoreError):
    """An origin that is another node's: here it is only mirrored."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        super().__init__(f"{origin!r} is another node's origin: here it is mirrored, and nothing is appended to it")


class MirrorRefused(EventStoreError):
    """What came from another node is not what follows on this log. Nothing of it was kept."""

    def __init__(self, origin: str, n: int, reason: str) -> None:
        self.origin = origin
        self.n = n
        self.reason = reason
        super().__init__(f"what came as {origin}:{n} was refused, and nothing of it kept: {reason}")


class UnknownLine(EventStoreError):
    """A line that the log does not have yet."""

    def __init__(self, origin: str, n: int, last: int) -> None:
        self.origin = origin
        self.n = n
        self.last = last
        super().__init__(f"the log has no line {origin}:{n}; {origin!r} ends at {last}")


class NotYetSealed(EventStoreError):
    """There is no proof yet of a line whose segment still grows."""

    def __init__(self, origin: str, n: int) -> None:
        self.origin = origin
        self.n = n
        super().__init__(
            f"{origin}:{n} is in the log, and can be proved once its segment is sealed: the node does that by itself "
            "when the segment is full (the setting segment_events_max, or 64 MiB of lines); ask again then"
        )


class ProofRefused(EventStoreError):
    """What should prove a line does not."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"this proves nothing: {what}")


class SourceFailed(EventStoreError):
    """What may have the log's bytes could not give them now."""

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        self.reason = reason
        super().__init__(f"{source} can't give what is damaged: {reason}")


class HealingFailed(EventStoreError):
    """Lines are damaged, and nothing has them. Each of `lost` says which, where, and who was asked."""

    def __init__(self, lost: tuple[str, ...]) -> None:
        self.lost = lost
        named = "\n".join(lost[:LOST_NAMED_MAX])
        more = f"\nand {len(lost) - LOST_NAMED_MAX:,} more" if len(lost) > LOST_NAMED_MAX else ""
        super().__init__(
            f"the log is damaged, and nothing that was asked has what is missing:\n{named}{more}\n"
            "bring the files back from a backup, or name an archive that has them (--archive), and start again; "
            "`rookery restore` makes a log of what an archive has"
        )


class BusRegressed(EventStoreError):
    """The bus no longer holds what the log took from it: its stream was cut short, or made anew."""

    def __init__(self, origin: str, position: int, reason: str) -> None:
        self.origin = origin
        self.position = position
        self.reason = reason
        super().__init__(
            f"the log of {origin!r} holds the bus up to sequence {position}, but {reason}. The log has every event "
            "that it took. If bus and log still agree somewhere, ingest goes on from there by itself. If they agree "
            "nowhere, it may be the bus of another log: name the right one, or restore its store from a backup; or, if "
            "the old bus is lost for good, start the node once with --new-bus (what the log has is known by its id)"
        )


class BusWithholds(EventStoreError):
    """The bus has acknowledged events, and gives them to nobody."""

    def __init__(self, origin: str, position: int, lost: int) -> None:
        self.origin = origin
        self.position = position
        self.lost = lost
        why = f" nats-server found its store damaged when it started, and {lost:,} events lost." if lost else ""
        super().__init__(
            f"the bus of {origin!r} has acknowledged events after sequence {position}, and gives them to nobody.{why} "
            "They are on its disk: start nats-server once more. It then reads its store anew, and ingest goes on"
        )


class VaultError(EventStoreError):
    """The root of what can go wrong with the keys of people."""


class VaultDamaged(VaultError):
    """The file of keys is not what was written, and no crash explains it."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what
        super().__init__(
            f"{path} is damaged: {what}. Take that line out: what was sealed with its key is then lost, unless "
            "`rookery vault import` brings it back from an export"
        )


class VaultWriteFailed(VaultError):
    """The disk refused. A key that was to be made was not handed out; one to be forgotten is when it is asked again."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"cannot write {path}: {reason}; free space or repair the disk, and ask again")


class KeyGone(VaultError, InvalidInput):
    """Something is to be sealed for a pseudonym whose key is not here."""

    def __init__(self, pseudonym: str, *, is_forgotten: bool) -> None:
        self.pseudonym = pseudonym
        self.is_forgotten = is_forgotten
        reason = "was forgotten" if is_forgotten else "is no key of this node's"
        super().__init__(f"datasubject: {pseudonym} {reason}; name the person, who then gets a key here")


class InvalidExport(VaultError, InvalidInput):
    """What should be an export of keys isn't one, or the passphrase isn't the one that it was made with."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"these keys can't be read: {reason}")


class ArchiveError(EventStoreError):
    """The root of what can go wrong with an archive. Nothing is let go of where one is raised."""


class InvalidArchive(ArchiveError, InvalidInput):
    """A place that cannot hold an archive."""

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(f"{place!r} can't be an archive: {reason}; name a folder, or s3://bucket/prefix")


class NoArchive(ArchiveError):
    """There is no archive at this place."""

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(f"there is no archive at {place}: {reason}")


class ArchiveUnavailable(ArchiveError):
    """Cold storage refused, or did not answer. The same may work later."""

    def __init__(self, place: str, object: str, reason: str) -> None:
        self.place = place
        self.object = object
        self.reason = reason
        super().__init__(f"the archive {place} can't be used ({object}): {reason}")


class ArchiveDamaged(ArchiveError):
    """An object in cold storage is not what was archived."""

    state = "damaged"

    def __init__(self, place: str, object: str, reason: str) -> None:
        self.place = place
        self.object = object
        self.reason = reason
        super().__init__(
            f"{object} in the archive {place} is {self.state}: {reason}; `rookery archive --verify` copies anew what "
            "this node still has"
        )


class ObjectMissing(ArchiveDamaged):
    """An object that was archived is no longer in cold storage."""

    state = "missing"

    def __init__(self, place: str, object: str) -> None:
        super().__init__(place, object, "it was removed, or the disk is not mounted")


class ObjectsLost(ArchiveError):
    """The archive has lost what this node had let go of. All the rest was copied."""

    def __init__(self, place: str, objects: tuple[str, ...]) -> None:
        self.place = place
        self.objects = objects
        named = ", ".join(objects[:LOST_NAMED_MAX])
        more = f" and {len(objects) - LOST_NAMED_MAX:,} more" if len(objects) > LOST_NAMED_MAX else ""
        super().__init__(
            f"the archive {place} has lost what this node no longer has: {named}{more}; bring that back from a copy of "
            "the archive. All the rest is in it, and nothing was trimmed"
        )


class ForeignArchive(ArchiveError):
    """The archive is another log's, or has events that this log lacks: to write there would lose them."""

    def __init__(self, place: str, origin: str, reason: str) -> None:
        self.place = place
        self.origin = origin
        self.reason = reason
        super().__init__(
            f"the archive {place} is not of this log: {reason}; choose another place, or restore that archive first"
        )


class ColdLimit(ArchiveError):
    """More segments that only the archive has are wanted at once than may be kept here."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        super().__init__(
            f"this needs more of the archive at once than the {bytes_max / 2**20:,.0f} MiB that may be fetched; ask "
            "for a shorter range, or `rookery restore` the archive where there is room"
        )


class RestoreRefused(ArchiveError):
    """There is a log already where one should be restored."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} holds a log already; restore into a new folder, with --data")


class RestoreFailed(ArchiveError):
    """The disk refused. What is there so far is kept beside, and the same restore goes on with it."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(f"can't restore into {folder}: {reason}; mend that, and the same command goes on from there")


class RestoreUnfinished(ArchiveError):
    """A restore was interrupted. A log that was begun in its place would be another history of the same origins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(
            f"{folder} is a log whose restore was interrupted; run the same `rookery restore` again, which goes on "
            "from there, or remove that folder to begin without it"
        )
