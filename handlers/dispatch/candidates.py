"""Candidates: all agents that work can be given to, kept in memory as the log tells of them, and ranked.

What an agent's score is made of changes only with the agent itself. So each kind of work keeps its agents ranked, and
to choose one is to look at the first, however many there are.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from ..fleet import AGENTS, AgentRecord
from ..proficiency import Lookup
from ..reactions import Happened
from .choosing import ASSIGNMENTS_MAX, Candidate, Choice, Skilled, rank, score_of

# Rankings that are kept, each of all who can do a kind of work, by one skill.
RANKINGS_MAX = 1_000
# So often the first may turn out to be no longer what it was, before the next one is taken as it is.
RERANKED_MAX = 8
# So many agents are ranked before others have their turn.
RANKED_AT_ONCE_MAX = 100
_HEAP_SPARE = 64

_Rank = tuple[float, int, str]


class Ranked(NamedTuple):
    """What ranks agents: the capability that they need, and the skill by which they are compared."""

    kind: str
    skill: str


class Alive(NamedTuple):
    """An agent that is alive, with what it can do and how much it has in hand, of how much it may have."""

    agent_id: str
    capabilities: frozenset[str]
    assignments: int
    assignments_max: int


class Candidates:
    """Who could do what, how well, and how busy they are. `hear` it all, then `choose`.

    `lookup` tells how good agents are: where that changes, `rank` them again. `assignments_max` is for those who don't
    say themselves. Agents in `pool` are never chosen: they are for what nobody else can do.
    """

    def __init__(
        self,
        *,
        assignments_max: int = ASSIGNMENTS_MAX,
        lookup: Lookup | None = None,
        pool: Collection[str] = (),
    ) -> None:
        self._assignments_max = assignments_max
        self._lookup = lookup
        self._pool = frozenset(pool)
        self._agents: dict[str, _Agent] = {}
        self._able: dict[str, set[str]] = {}
        self._offered: Counter[str] = Counter()  # by how many who are alive, where there is any
        self._holders: dict[str, str] = {}
        self._costs_usd: dict[str, float | None] = {}
        self._rankings: dict[str, dict[str, _Ranking]] = {}
        self._begun: tuple[Ranked, _Ranking] | None = None  # the ranking that is being made
        self._making = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._agents)

    def hear(self, agent_id: str, sequence: int, fact: Happened) -> None:
        """Take the next fact about an agent, and the bus's sequence of it."""
        agent = self._agents.setdefault(agent_id, _Agent())
        agent.sequence = sequence
        self._become(agent_id, agent, AGENTS.evolve(agent.record, fact))

    def see(self, agent_id: str, sequence: int, record: AgentRecord | None) -> None:
        """Take an agent as the bus has it by now, which may be further than the log was heard; None: it has nothing."""
        agent = self._agents.setdefault(agent_id, _Agent())
        agent.sequence = sequence
        self._become(agent_id, agent, record or agent.record)

    def hold(self, assignment_id: str, agent_id: str | None) -> None:
        """Note who has the assignment in hand, or is to have it; None: nobody any more."""
        before = self._holders.get(assignment_id)
        if before == agent_id:
            return
        if before is not None:
            del self._holders[assignment_id]
            self._agents[before].holds -= 1
            self.rank(before)
        if agent_id is not None:
            self._holders[assignment_id] = agent_id
            self._agents.setdefault(agent_id, _Agent()).holds += 1
            self.rank(agent_id)

    def price(self, agent_id: str, cost_usd: float | None) -> None:
        """Note what a run of an agent's costs; None: it isn't known, or is no longer."""
        if self._costs_usd.get(agent_id) != cost_usd:
            self._costs_usd[agent_id] = cost_usd
            self.rank(agent_id)

    def choose(self, kind: str, skill: str | None = None, *, excluded: Collection[str] = ()) -> Choice | None:
        """The best of those that are eligible for work of a kind, if there is any."""
        ranked = Ranked(kind, skill or kind)
        ranking = self._ranking(ranked)
        candidate = None
        for _ in range(RERANKED_MAX):
            if (agent_id := ranking.first(excluded)) is None:
                return None
            candidate = self.candidate(agent_id, ranked)
            if not ranking.place(candidate):  # it is as it was when it was ranked
                break
        assert candidate is not None, "somebody was first"
        eligible = len(ranking) - sum(other in ranking for other in set(excluded))
        return Choice(candidate, score_of(candidate), eligible)

    async def be_ready(self, kind: str, skill: str | None = None) -> None:
        """Rank those who can do such work a few at a time, so that to `choose` one holds nobody up, however many."""
        ranked = Ranked(kind, skill or kind)
        if self._known(ranked) is not None:
            return
        async with self._making:
            if self._known(ranked) is not None:  # somebody else has made it meanwhile
                return
            ranking = _Ranking()
            self._begun = ranked, ranking
            try:
                for number, agent_id in enumerate(list(self._able.get(kind, ())), 1):
                    ranking.place(self.candidate(agent_id, ranked))
                    if number % RANKED_AT_ONCE_MAX == 0:
                        await asyncio.sleep(0)
                self._keep(ranked, ranking)
            finally:
                self._begun = None

    def alive(self) -> list[Alive]:
        """All who are alive, those of the pool left out."""
        return [
            Alive(agent_id, agent.capabilities, agent.holds, agent.assignments_max or self._assignments_max)
            for agent_id, agent in sorted(self._agents.items())
            if agent.is_alive and agent_id not in self._pool
        ]

    def candidates(self, kind: str, skill: str | None = None) -> Iterator[Candidate]:
        """All who have the capability, eligible or not."""
        ranked = Ranked(kind, skill or kind)
        return (self.candidate(agent_id, ranked) for agent_id in sorted(self._able.get(kind, ())))

    def candidate(self, agent_id: str, ranked: Ranked) -> Candidate:
        """An agent, known or not, as work that is ranked so sees it."""
        agent = self._agents.get(agent_id) or _Agent()
        return Candidate(
            agent_id,
            agent.is_alive and agent_id not in self._pool,
            ranked.kind in agent.capabilities,
            agent.holds,
            agent.assignments_max or self._assignments_max,
            self._skilled(agent_id, ranked.skill),
            self._costs_usd.get(agent_id),
        )

    def anybody_can(self, kind: str) -> bool:
        """Whether an agent is alive that has the capability, be it as busy as it may."""
        return kind in self._offered

    def is_alive(self, agent_id: str) -> bool:
        """Whether the agent is alive, or no more than suspected, by what was heard. Who has left is forgotten."""
        agent = self._agents.get(agent_id)
        return agent is not None and agent.record.state in ("alive", "suspect")

    def agents(self) -> list[str]:
        """All who are known."""
        return list(self._agents)

    def capabilities(self, agent_id: str) -> Collection[str]:
        """What the agent can do, by its own account."""
        agent = self._agents.get(agent_id)
        return agent.capabilities if agent else ()

    def sequence(self, agent_id: str) -> int:
        """The bus's sequence of the last fact about an agent that was heard; 0: nothing was."""
        agent = self._agents.get(agent_id)
        return agent.sequence if agent else 0

    def _become(self, agent_id: str, agent: _Agent, record: AgentRecord) -> None:
        before, could = agent.capabilities, self._offered_by(agent_id, agent)
        agent.become(record)
        can = self._offered_by(agent_id, agent)
        for kind in can - could:
            self._offered[kind] += 1
        for kind in could - can:
            self._offered[kind] -= 1
            if not self._offered[kind]:
                del self._offered[kind]
        if agent.capabilities != before:
            for kind in before:
                self._be_unable(agent_id, kind)
            for kind in agent.capabilities:
                self._able.setdefault(kind, set()).add(agent_id)
        self.rank(agent_id)

    def _offered_by(self, agent_id: str, agent: _Agent) -> frozenset[str]:
        """What an agent does by now: the dead do nothing, and the pool only what nobody else can."""
        return agent.capabilities if agent.is_alive and agent_id not in self._pool else frozenset()

    def _skilled(self, agent_id: str, skill: str) -> Skilled:
        if self._lookup is None:
            return Skilled()
        found = self._lookup(agent_id, skill)
        return Skilled(found.rating, (found.high - found.low) / 2)

    def rank(self, agent_id: str) -> None:
        """Put the agent in its place wherever it is ranked."""
        if (agent := self._agents.get(agent_id)) is None:
            return
        for kind in agent.capabilities:
            for skill, ranking in self._rankings_of(kind):
                ranking.place(self.candidate(agent_id, Ranked(kind, skill)))
        if agent.is_gone and not agent.holds:
            self._forget(agent_id)

    def _be_unable(self, agent_id: str, kind: str) -> None:
        for _, ranking in self._rankings_of(kind):
            ranking.leave(agent_id)
        self._able[kind].discard(agent_id)
        if not self._able[kind]:
            del self._able[kind]
            self._rankings.pop(kind, None)

    def _forget(self, agent_id: str) -> None:
        for kind in self._agents.pop(agent_id).capabilities:
            self._be_unable(agent_id, kind)
        self._costs_usd.pop(agent_id, None)

    def _ranking(self, ranked: Ranked) -> _Ranking:
        found = self._known(ranked)
        if found is not None:
            return found
        ranking = _Ranking()
        for agent_id in self._able.get(ranked.kind, ()):
            ranking.place(self.candidate(agent_id, ranked))
        self._keep(ranked, ranking)
        return ranking

    def _known(self, ranked: Ranked) -> _Ranking | None:
        return self._rankings.get(ranked.kind, {}).get(ranked.skill)

    def _keep(self, ranked: Ranked, ranking: _Ranking) -> None:
        if not self._able.get(ranked.kind):  # what nobody can do isn't worth a place
            return
        if sum(map(len, self._rankings.values())) >= RANKINGS_MAX:
            del self._rankings[next(iter(self._rankings))]
        self._rankings.setdefault(ranked.kind, {})[ranked.skill] = ranking

    def _rankings_of(self, kind: str) -> Iterator[tuple[str, _Ranking]]:
        """Each by its skill, and with them the one that is being made."""
        yield from self._rankings.get(kind, {}).items()
        if self._begun is not None and self._begun[0].kind == kind:
            yield self._begun[0].skill, self._begun[1]


class _Agent:
    """One agent as it was heard of last."""

    __slots__ = ("assignments_max", "capabilities", "holds", "record", "sequence")

    def __init__(self) -> None:
        self.record = AgentRecord()
        self.sequence = 0
        self.capabilities: frozenset[str] = frozenset()
        self.assignments_max: int | None = None
        self.holds = 0

    @property
    def is_alive(self) -> bool:
        return self.record.state == "alive"

    @property
    def is_gone(self) -> bool:
        return self.record.state in ("unknown", "evicted", "unregistered")

    def become(self, record: AgentRecord) -> None:
        self.record = record
        if record.told is not None:
            self.capabilities = frozenset(record.told.capabilities)
            self.assignments_max = record.told.assignments_max


class _Ranking:
    """Those that are eligible, the best first: a heap in which what is no longer so is left until it comes up."""

    def __init__(self) -> None:
        self._ranks: dict[str, _Rank] = {}
        self._heap: list[_Rank] = []

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, agent_id: str) -> bool:
        return agent_id in self._ranks

    def place(self, candidate: Candidate) -> bool:
        """Put the candidate where it belongs by now. Returns whether it was elsewhere."""
        if not candidate.is_eligible:
            return self.leave(candidate.agent_id)
        place = rank(candidate)
        if self._ranks.get(candidate.agent_id) == place:
            return False
        self._ranks[candidate.agent_id] = place
        heappush(self._heap, place)
        if len(self._heap) > 2 * len(self._ranks) + _HEAP_SPARE:
            self._heap = list(self._ranks.values())
            heapify(self._heap)
        return True

    def leave(self, agent_id: str) -> bool:
        """Have it here no longer. Returns whether it was here."""
        return self._ranks.pop(agent_id, None) is not None

    def first(self, excluded: Collection[str]) -> str | None:
        """The best, those that are excluded left out."""
        aside = list[_Rank]()
        try:
            while self._heap:
                place = self._heap[0]
                agent_id = place[2]
                if self._ranks.get(agent_id) != place:
                    heappop(self._heap)
                elif agent_id in excluded:
                    aside.append(heappop(self._heap))
                else:
                    return agent_id
            return None
        finally:
            for place in aside:
                heappush(self._heap, place)
