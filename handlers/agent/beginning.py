"""The beginning of an attempt: what is told of the run and of the assignment, in one append that only its taker makes.

The append expects the assignment as it was looked at, and the agent as it was registered. So what was called off
meanwhile is never begun, who was declared dead begins nothing, and attempts are counted where all can see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from ...bus import AlreadyPublished, Bus, ConcurrencyConflict, Entity, Work
from ...schemas import AssignmentCreated, EventData, RunFailed, RunStarted, derived_id
from ...schemas.vocabulary import RunId
from ..assignments import ASSIGNMENTS, Assignment, GiveUp, Start
from ..reactions import Command, Contended, Decider, Happened
from ..reactions.deciding import CONFLICTS_MAX, checked
from .ending import Begun, Life
from .profile import Profile
from .telling import Run, appended, insisting
from .tracing import child_of

LOST = "nothing was heard of it any more: its agent died, or lost the bus for too long"
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
    decider = Decider(bus, ASSIGNMENTS, source=profile.source)
    for turn in range(CONFLICTS_MAX):
        # What nobody was handed before is as it was given, unless the append finds that it isn't.
        as_given = None if turn or work.attempt > 1 else work.recorded
        if as_given is not None:
            state, sequence = task.given, as_given
        else:
            state, sequence = await insisting(partial(decider.look, task.id))
        if state.created is None:  # the bus was made anew since it was given
            state = task.given
        await task.end_what_was_lost(state)
        if state.is_over:
            return None
        try:
            if not task.is_used_up(state):
                return await task.start(state, sequence)
            await task.give_up(state, sequence)
            return None
        except (ConcurrencyConflict, AlreadyPublished):
            await insisting(life.membership.look)
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

    def is_used_up(self, state: Assignment) -> bool:
        """Whether it was begun as often as it may be, or handed out so often to agents that said nothing at all."""
        return state.attempts >= self.attempts_max or (not state.attempts and self._work.exhausted)

    async def start(self, state: Assignment, sequence: int) -> Beginning:
        """Tell that the run and the attempt begin, all of it or nothing."""
        agent_id, run = self._profile.agent_id, self._run(state.attempts + 1)
        run_started = RunStarted(
            agent_id=agent_id,
            task=self.created.kind,
            skill=self._skill,
            parent_run_id=self._parent(),
            assignment_id=self.id,
            metadata={"attempt": state.attempts + 1} if state.attempts else None,
        )
        [claim] = self._decided(Start(agent_id=agent_id, run_id=run.id), state)
        told = [
            checked(run.says(run_started, subject=run.id, id=derived_id(run.id, "started"))),
            checked(run.says(claim, subject=self.id, id=derived_id(run.id, "assignment started"))),
        ]
        expected = {Entity("assignment", self.id): sequence, Entity("agent", agent_id): self._life.sequence(agent_id)}
        begun_at = await appended(self._bus, told, expected)
        after = ASSIGNMENTS.evolve(state, Happened(claim, told[1].time))
        return Beginning(run, Begun(after, begun_at), self.attempts_max)

    async def give_up(self, state: Assignment, sequence: int) -> None:
        """Tell that nobody is to try any more."""
        run = self._run(state.attempts)
        told = self._decided(GiveUp(agent_id=self._profile.agent_id, skill=self._skill, error=ALL_LOST), state)
        ended = checked(run.says(told[0], subject=self.id, id=derived_id(self.id, "ended")))
        expected = {Entity("assignment", self.id): sequence}
        await insisting(partial(self._bus.append, [ended], expected=expected))

    async def end_what_was_lost(self, state: Assignment) -> None:
        """Tell the end of an earlier attempt's run, where its agent didn't."""
        if state.run_id is None:
            return
        history = await insisting(partial(self._bus.history, Entity("run", state.run_id)))
        told = {delivery.subject.split(".")[3] for delivery in history.deliveries}
        if told and not told & {"completed", "failed", "cancelled"}:
            lost = self._run(state.attempts)._replace(id=state.run_id)
            await lost.tell(RunFailed(error=LOST), subject=lost.id, id=derived_id(lost.id, "ended"))

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
