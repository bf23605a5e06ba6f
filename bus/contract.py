"""What a bus does, whichever one it is: the protocols that `NatsBus` and `MemoryBus` both keep."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from ..schemas import EVENTS, Event
from .errors import Entity

READ_BATCH_EVENTS_MAX = 2_000
APPEND_EVENTS_MAX = 1_000
HISTORY_EVENTS_MAX = 100
REQUEST_TIMEOUT_SECONDS = 5.0
WORK_ATTEMPTS_MAX = 3
ACK_WAIT_SECONDS = 30.0

Handler = Callable[[bytes], Awaitable[bytes]]
Hear = Callable[[str, bytes], None]


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
    """Everything that happened to one entity, and its last sequence (0: nothing): what an append expects.

    `missing`: so many more events the bus counts, and gives to nobody. Its store is damaged there, and it says nothing.
    """

    deliveries: list[Delivery]
    sequence: int
    missing: int = 0


class Replica(NamedTuple):
    """A follower of a stream's leader; `lag_events` is how far it is behind."""

    server: str
    current: bool
    offline: bool
    lag_events: int

    @property
    def is_well(self) -> bool:
        """Whether it can take over without having to catch up first."""
        return self.current and not self.offline


class Cluster(NamedTuple):
    """The servers that keep a stream together: how many there are to be, who leads (empty: nobody), who follows."""

    size: int
    leader: str
    replicas: tuple[Replica, ...]

    @property
    def unwell(self) -> list[str]:
        """The servers that could not take over right now."""
        return [replica.server for replica in self.replicas if not replica.is_well]


class Upstream(NamedTuple):
    """What a mirror knows of the stream it mirrors: how far it was behind, and when it last heard (None: not yet)."""

    lag_events: int
    silent_seconds: float | None


class StreamState(NamedTuple):
    """What a stream holds; `cluster` where several servers keep it, `upstream` where it mirrors another one."""

    created: datetime
    first_sequence: int
    last_sequence: int
    messages: int
    bytes: int
    cluster: Cluster | None = None
    upstream: Upstream | None = None


class EventSource(Protocol):
    """What ingest reads: a bus, or a mirror of another one. Every method raises `BusUnavailable`."""

    def read(self, *, after: int = 0) -> AsyncIterator[list[Delivery]]:
        """See `Bus.read`."""

    async def state(self) -> StreamState:
        """What it holds."""

    async def first_after(self, sequence: int) -> Delivery | None:
        """See `Bus.first_after`."""

    async def lost_events(self) -> int:
        """See `Bus.lost_events`."""


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


class Work(Protocol):
    """A task in hand. Unless it is settled or said to be `busy`, it goes to somebody else after the ack wait.

    It may come twice all the same: when whoever had it died, or when the bus didn't hear that it was settled. So what
    is published about it takes ids derived from the assignment and the attempt.
    """

    @property
    def event(self) -> Event:
        """The `assignment.created` event, as it was given."""

    @property
    def recorded(self) -> int | None:
        """The sequence that the event was published under, where whoever gave it said so."""

    @property
    def attempt(self) -> int:
        """How many times it has been handed out, this time included."""

    @property
    def attempts_max(self) -> int:
        """How many attempts there are to be."""

    @property
    def exhausted(self) -> bool:
        """Whether all attempts are used up, the last of them without a word: say that it failed, and `give_up`."""

    async def done(self) -> None:
        """It is done, for good: returns when the bus has noted it. Raises `BusUnavailable`: then it may come again."""

    async def again(self, delay_seconds: float = 0.0) -> None:
        """Give it back, to be handed out again after the delay, to whoever is there then."""

    async def give_up(self) -> None:
        """Never hand it out again."""

    def drop(self) -> None:
        """Let go of it without a word, and have the hand free: it is another's by now."""

    async def busy(self) -> None:
        """It is being worked on: the ack wait begins anew."""


class Bus(Protocol):
    """Durable, ordered transport of events; commands; small state. Every method raises `BusUnavailable`."""

    @property
    def connected(self) -> bool:
        """Whether the bus can be reached right now; while it can't, calls wait up to their deadlines."""

    def ensure_fits(self, event: Event) -> None:
        """Raise `EventTooLarge` or `InvalidEvent` for what can't be appended, whatever it expects."""

    async def publish(self, event: Event, payload: bytes | None = None) -> Receipt:
        """Return when the event is durable. Publishing the same event again is safe: it is stored once.

        `payload` is the event's exact bytes, where they are at hand. Concurrent callers share the cost; waits while
        too many are waiting already. Raises `EventTooLarge`, `BusRefused`, or `BusUnavailable` when the outcome is
        still unknown after a long wait.
        """

    async def append(
        self, events: Sequence[Event], *, expected: Mapping[Entity, int], payloads: Sequence[bytes] | None = None
    ) -> list[Receipt]:
        """Store all the events or none, and only if every entity's last sequence is the expected one (0: none).

        Appending the same events again acknowledges them as duplicates. `payloads` are the events' exact bytes, where
        they are at hand. Raises `ConcurrencyConflict`,
        `UncheckableAppend`, `AlreadyPublished`, `AppendTooLarge` or `EventTooLarge`.
        """

    def read(self, *, after: int = 0, subject: str = EVENTS) -> AsyncIterator[list[Delivery]]:
        """The events after a sequence, in order and without gaps, and then what comes, for ever.

        Each list is what is at hand: 1 to `READ_BATCH_EVENTS_MAX` events. Survives reconnects and restarts of the
        bus. Raises `StreamRewound`.
        """

    async def give(self, event: Event, *, recorded: int | None = None) -> Receipt:
        """Put an `assignment.created` event where agents find their work; returns when it is durable.

        `recorded` is the sequence that the event was published under: who begins the task can expect it, unasked.
        It waits for whoever has the capability that is its `kind`, or for the agent it names. Publish the event, too:
        this alone tells nobody else. Giving the same event again is safe: it is stored once, for a minute at least.
        Raises `InvalidEvent` for what is no assignment, `WorkQueueFull`, or as `publish` does.
        """

    async def hand_over(self, event: Event, agent_id: str | None, *, number: int, was: Collection[str] = ()) -> Receipt:
        """Put a task that was given where another finds it at once: whoever has the capability, or `agent_id`.

        It takes the place of what is in hand, or waits, under the capability, for the agent that the event names, and
        for those in `was`; who had it in hand may still settle it, which changes nothing. `number` tells this from
        other times: the same again is stored once. Raises like `give`.
        """

    def tasks_held(self, capability: str, *, agent_id: str | None = None) -> AsyncGenerator[list[str], None]:
        """The assignments whose tasks wait, or are in hand, at one place, page by page: by a look through all of it.

        That is the place of the capability, or of what is given to `agent_id` by name, whatever its capability.
        """

    def work(
        self,
        capability: str | None,
        *,
        agent_id: str | None = None,
        in_hand_max: int,
        attempts_max: int = WORK_ATTEMPTS_MAX,
        ack_wait_seconds: float = ACK_WAIT_SECONDS,
    ) -> AsyncGenerator[Work, None]:
        """The work of a capability, for ever, and what is given to `agent_id` by name, whatever its capability.

        Without a capability, only what is given by name.

        Among all who take the work of a capability, each task goes to one. At most `in_hand_max` tasks are handed out
        and not yet settled; no more is fetched than there is room for. Survives reconnects and restarts of the bus.
        Closing the generator (`aclose`, or cancelling who waits for it) gives back what was fetched and not handed
        out; what was handed out can still be settled.
        """

    async def history(self, entity: Entity, *, facts: Collection[str] = ()) -> History:
        """Everything that happened to one entity.

        Where that is more than `HISTORY_EVENTS_MAX` events and `facts` are named (`registered`), only those: so that
        what an entity says again and again needn't be read to know how it stands.
        """

    async def has_happened(self, entity: Entity, fact: str) -> bool:
        """Whether this was said of the entity by anybody, as in `cancelled`: one question, whatever its history."""

    async def state(self) -> StreamState:
        """What the event stream holds."""

    async def first_after(self, sequence: int) -> Delivery | None:
        """The first event after a sequence that the bus has to give; None if there is none by now.

        A server that was damaged may count more events than it gives.
        """

    async def lost_events(self) -> int:
        """How many events the server found lost from the stream when it started; 0: its store is whole.

        Otherwise it may give nobody what it acknowledges from then on, until it is started again.
        """

    async def drift(self) -> list[str]:
        """Each setting of the event stream that somebody changed since it was made, as in `max_msgs is 10, not -1`."""

    async def request(self, subject: str, payload: bytes, *, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS) -> bytes:
        """Send a command (`cmd.<context>.<verb>`) and return its answer.

        Raises `CommandRefused`, `CommandFailed`, `NoResponder`, `RequestTimedOut` or `RequestTooLarge`.
        """

    async def serve(self, subject: str, handler: Handler, *, queue: str) -> Service:
        """Answer commands. Among all who serve a subject with the same queue, each command goes to one.

        A `RookeryError` from the handler is raised at the caller as `CommandRefused`, anything else as
        `CommandFailed`.
        """

    async def send(self, subject: str, payload: bytes) -> None:
        """Say something to whoever listens right now: nobody keeps it, and nobody answers.

        For what is worth nothing a moment later. Raises `RequestTooLarge`.
        """

    async def listen(self, subject: str, hear: Hear) -> Service:
        """Call `hear` with the subject and the payload of everything that is sent under this pattern (`beat.>`).

        `hear` must be quick and raise nothing. Who can't keep up, or is away for a moment, misses messages.
        """

    async def key_value(self, bucket: str) -> KeyValue:
        """The bucket of this name; made if it isn't there."""

    async def objects(self, bucket: str) -> ObjectStore:
        """The bucket of this name; made if it isn't there."""

    async def close(self) -> None:
        """Make what was published durable, end what is served, and disconnect."""
