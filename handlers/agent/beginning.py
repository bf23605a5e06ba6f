"""The beginning of an attempt: a claim that only one can make, and the beginning of its run, which only the living can.

The claim expects the assignment as it was looked at: what was called off meanwhile is never begun, and attempts are
counted where all can see them. The run's beginning expects the agent as it was registered: who was declared dead
begins nothing, and gives back what it had claimed. These are two appends of one event each, because each is stored at
once, where an atomic batch of two makes nats-server prepare a store on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from ...bus import AlreadyPublished, Bus, ConcurrencyConflict, Entity, HistoryDamaged, Work
from ...schemas import AssignmentCreated, Event, EventData, RunFailed, RunStarted, derived_id
from ...schemas.vocabulary import RunId
from ..assignments import ASSIGNMENTS, Assignment, GiveUp, Release, Start
from ..fleet import Fenced
from ..reactions import Command, Contended, Decider, Happened
from ..reactions.deciding import CONFLICTS_MAX, checked
from .ending import Begun, Life, append_alive, claimed
from .profile import Profile
from .telling import Run, appended, insisting
from .tracing import child_of

LOST = "nothing was heard of it any more: its agent died, or lost the bus for too long"
FENCED = "its agent was declared dead as it began"
ALL_LOST = "every attempt at it was lost with its agent"


class Beginning(NamedTuple):
    """An attempt that was begun: its run, how the assignment stands now, and how often it may be tried at all."""

    run: Run
    begun: Begun
    attempts_max: int

    @property
    def attempt(self) -> int:
        """Which attempt this is, counted from 1."""
        return self.begun.assignment.attempts

    @property
    def is_last(self) -> bool:
        """Whether there is to be no further attempt."""
        return self.attempt >= self.attempts_max


async def begin(bus: Bus, profile: Profile, life: Life, work: Work) -> Beginning | None:
    """Begin the next attempt at a task; None where there is nothing to begin: it is over, or its attempts are used up.

    Raises `NotTheHolder` for what is another's by name, `Fenced`, `Contended`, `InvalidData`, or `BusUnavailable` after
    a quarter of an hour.
    """
    task = _Task(bus, profile, life, work)
    decider = Decider(bus, ASSIGNMENTS, source=profile.source, earlier=task.earlier)
    for turn in range(CONFLICTS_MAX):
        # What nobody was handed before is as it was given, unless the append finds that it isn't.
        as_given = None if turn or work.attempt > 1 else work.recorded
        if as_given is not None:
            state, sequence = task.given, as_given
        else:
            state, sequence = await insisting(partial(decider.look, task.id))
        was_handed_back = await task.end_what_was_lost(state)
        if state.is_over:
            return None
        try:
            if was_handed_back or not task.is_used_up(state):
                return await task.start(state, sequence)
            await task.give_up(state, sequence)
            return None
        except (ConcurrencyConflict, AlreadyPublished):
            continue
    raise Contended(Entity("assignment", task.id), CONFLICTS_MAX)


class _Task:
    """A task that this agent was handed."""

    def __init__(self, bus: Bus, profile: Profile, life: Life, work: Work) -> None:
        created = work.event.payload()
        assert isinstance(created, AssignmentCreated), "the bus hands out assignments only"
        self.created = created
        self.id = work.event.subject
        self.attempts_max = created.attempts_max or profile.attempts_max
        self._bus = bus
        self._profile = profile
        self._life = life
        self._work = work
        self._skill = created.skill or created.kind
        self.given = ASSIGNMENTS.evolve(Assignment(), Happened(created, work.event.time))

    async def earlier(self, entity: Entity, missing: int) -> Sequence[Event]:
        """That it was given, which a bus that was made anew since then doesn't know. Raises `HistoryDamaged`."""
        if missing:
            raise HistoryDamaged(entity, missing)
        return [self._work.event]

    def is_used_up(self, state: Assignment) -> bool:
        """Whether it was begun as often as it may be, or handed out so often to agents that said nothing at all."""
        return state.attempts >= self.attempts_max or (not state.attempts and self._work.exhausted)

    async def start(self, state: Assignment, sequence: int) -> Beginning:
        """Tell that the attempt and its run begin. Who is dead by then raises `Fenced`, and has given it back."""
        agent_id, run = self._profile.agent_id, self._run(state.attempts + 1)
        run_started = RunStarted(
            agent_id=agent_id,
            task=self.created.kind,
            skill=self._skill,
            parent_run_id=self._parent(),
            assignment_id=self.id,
            metadata={"attempt": state.attempts + 1} if state.attempts else None,
        )
        run_begins = checked(run.says(run_started, subject=run.id, id=derived_id(run.id, "started")))
        await self._life.membership.until_sure()
        self._life.sequence(agent_id)  # who knows that it is dead claims nothing
        [claim] = self._decided(Start(agent_id=agent_id, run_id=run.id), state)
        claims = checked(run.says(claim, subject=self.id, id=derived_id(run.id, "assignment started")))
        begun = Begun(ASSIGNMENTS.evolve(state, Happened(claim, claims.time)), await self._claim(claims, sequence))
        try:
            await append_alive(run, self._life, run_begins)
        except Fenced:
            await self._give_back(run, begun)
            raise
        return Beginning(run, begun, self.attempts_max)

    async def _claim(self, claims: Event, sequence: int) -> int:
        """Claim it; returns the claim's sequence. The bus answers the same claim of another as it did that one's."""
        receipt = await appended(self._bus, claims, {Entity("assignment", self.id): sequence})
        if receipt.duplicate:
            raise AlreadyPublished([claims.id])
        return receipt.sequence

    async def _give_back(self, run: Run, begun: Begun) -> None:
        """Raises `ConcurrencyConflict` where another has moved it on meanwhile: it is no longer this one's to give."""
        release = Release(agent_id=self._profile.agent_id, run_id=run.id, reason=FENCED)
        event = claimed(run, self.id, begun.assignment, release)
        await appended(self._bus, event, {Entity("assignment", self.id): begun.sequence})

    async def give_up(self, state: Assignment, sequence: int) -> None:
        """Tell that nobody is to try any more."""
        run = self._run(state.attempts)
        told = self._decided(GiveUp(agent_id=self._profile.agent_id, skill=self._skill, error=ALL_LOST), state)
        ended = checked(run.says(told[0], subject=self.id, id=derived_id(self.id, "ended")))
        await appended(self._bus, ended, {Entity("assignment", self.id): sequence})

    async def end_what_was_lost(self, state: Assignment) -> bool:
        """Tell the end of the latest attempt's run, where its agent didn't. Returns whether it was handed back instead.

        Who is told to stop hands back what it has in hand, for another to do: even its last attempt is not used up.
        """
        if state.run_id is None:
            return False
        history = await insisting(partial(self._bus.history, Entity("run", state.run_id)))
        told = {delivery.subject.split(".")[3] for delivery in history.deliveries}
        if told and not told & {"completed", "failed", "cancelled"}:
            lost = self._run(state.attempts)._replace(id=state.run_id)
            await lost.tell(RunFailed(error=LOST), subject=lost.id, id=derived_id(lost.id, "ended"))
        return state.status == "pending" and "cancelled" in told

    def _run(self, attempt: int) -> Run:
        event = self._work.event
        run_id = derived_id(self.id, str(attempt), "run")
        return Run(self._bus, self._profile, run_id, event.id, child_of(event.traceparent))

    def _decided(self, asked: Start | GiveUp, state: Assignment) -> Sequence[EventData]:
        command = Command.of(asked, subject=self.id, source=self._profile.source, id=self._work.event.id)
        return ASSIGNMENTS.decide(command, state)

    def _parent(self) -> str | None:
        """The run that asked for this one, where one did: anybody may have written anything there."""
        try:
            return msgspec.convert((self.created.metadata or {}).get("parent_run_id"), RunId | None)
        except msgspec.ValidationError:
            return None
