"""What a bus does, whichever one it is: the protocols that `NatsBus` and `MemoryBus` both keep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from ..schemas import EVENTS, Event
from .errors import Entity

READ_BATCH_EVENTS_MAX = 2_000
APPEND_EVENTS_MAX = 1_000
REQUEST_TIMEOUT_SECONDS = 5.0

Handler = Callable[[bytes], Awaitable[bytes]]


class Receipt(NamedTuple):
    """The bus's word that an event is durable: its sequence, and whether it was there before this publish."""

    sequence: int
    duplicate: bool


class Delivery(NamedTuple):
    """One event as the stream holds it; `stored_at` is in UTC."""

    sequence: int
    subject: str
    payload: bytes
    stored_at: datetime


class History(NamedTuple):
    """Everything that happened to one entity, and its last sequence (0: nothing): what an append expects."""

    deliveries: list[Delivery]
    sequence: int


class StreamState(NamedTuple):
    """What the event stream holds."""

    created: datetime
    first_sequence: int
    last_sequence: int
    messages: int
    bytes: int


class Entry(NamedTuple):
    """A key's value and its revision, which `KeyValue.put` can expect."""

    key: str
    value: bytes
    revision: int


class KeyValue(Protocol):
    """A bucket of keys, each with its last value."""

    async def get(self, key: str) -> Entry:
        """Raises `KeyNotFound`."""

    async def put(self, key: str, value: bytes, *, expected_revision: int | None = None) -> int:
        """Set the key and return its new revision. `expected_revision`: only if it is at that one (0: only if new).

        Raises `RevisionConflict`.
        """

    async def delete(self, key: str) -> None:
        """Delete the key, if it is there."""

    async def keys(self) -> list[str]:
        """Every key, sorted."""


class ObjectStore(Protocol):
    """A bucket of named objects of any size."""

    async def get(self, name: str) -> bytes:
        """Raises `ObjectNotFound` or `ObjectDamaged`."""

    async def put(self, name: str, content: bytes) -> None:
        """Store the content under the name, in the place of what was there."""

    async def delete(self, name: str) -> None:
        """Delete the object. Raises `ObjectNotFound`."""

    async def names(self) -> list[str]:
        """Every object's name, sorted."""


class Service(Protocol):
    """A running `serve`."""

    async def close(self) -> None:
        """Take no more commands, and wait for those at hand."""


class Bus(Protocol):
    """Durable, ordered transport of events; commands; small state. Every method raises `BusUnavailable`."""

    @property
    def connected(self) -> bool:
        """Whether the bus can be reached right now; while it can't, calls wait up to their deadlines."""

    async def publish(self, event: Event, payload: bytes | None = None) -> Receipt:
        """Return when the event is durable. Publishing the same event again is safe: it is stored once.

        `payload` is the event's exact bytes, where they are at hand. Concurrent callers share the cost; waits while
        too many are waiting already. Raises `EventTooLarge`, `BusRefused`, or `BusUnavailable` when the outcome is
        still unknown after a long wait.
        """

    async def append(self, events: Sequence[Event], *, expected: Mapping[Entity, int]) -> list[Receipt]:
        """Store all the events or none, and only if every entity's last sequence is the expected one (0: none).

        Appending the same events again acknowledges them as duplicates. Raises `ConcurrencyConflict`,
        `UncheckableAppend`, `AlreadyPublished`, `AppendTooLarge` or `EventTooLarge`.
        """

    def read(self, *, after: int = 0, subject: str = EVENTS) -> AsyncIterator[list[Delivery]]:
        """The events after a sequence, in order and without gaps, and then what comes, for ever.

        Each list is what is at hand: 1 to `READ_BATCH_EVENTS_MAX` events. Survives reconnects and restarts of the
        bus. Raises `StreamRewound`.
        """

    async def history(self, entity: Entity) -> History:
        """Everything that happened to one entity."""

    async def state(self) -> StreamState:
        """What the event stream holds."""

    async def request(self, subject: str, payload: bytes, *, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS) -> bytes:
        """Send a command (`cmd.<context>.<verb>`) and return its answer.

        Raises `CommandRefused`, `CommandFailed`, `NoResponder`, `RequestTimedOut` or `RequestTooLarge`.
        """

    async def serve(self, subject: str, handler: Handler, *, queue: str) -> Service:
        """Answer commands. Among all who serve a subject with the same queue, each command goes to one.

        A `RookeryError` from the handler is raised at the caller as `CommandRefused`, anything else as
        `CommandFailed`.
        """

    async def key_value(self, bucket: str) -> KeyValue:
        """The bucket of this name; made if it isn't there."""

    async def objects(self, bucket: str) -> ObjectStore:
        """The bucket of this name; made if it isn't there."""

    async def close(self) -> None:
        """Make what was published durable, end what is served, and disconnect."""
