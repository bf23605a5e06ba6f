"""Proficiency over HTTP: how good each agent is at each skill, and where the colony has gaps."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from ...projections import Leash, ReadModels
from ..node import Node
from ..proficiency import OBSERVED, OUTCOMES, ROWS_MAX, SKILLS_OF_AGENTS, Gaps, Listing, Proficiency, gaps, listing
from ..rating_history import DAYS_MAX, RatingHistory, rating_history
from .dependencies import OpenLanes, ServingNode, in_time, json
from .examples import GAPS, PROFICIENCY, RATING_HISTORY
from .past import AsOf, TimeAsOf, Vector, dated
from .shapes import answers

SHOWN = 1_000

router = APIRouter(tags=["proficiency"])

OfAgent = Annotated[str | None, Query(description="Of this agent alone.", examples=["coder-7"])]
AtSkill = Annotated[str | None, Query(description="At this skill alone.", examples=["code.review"])]
Whose = Annotated[
    Literal["agents", "colony"],
    Query(
        description="`agents`: what each agent lacks; `colony`: what every agent lacks that is meant to have it.",
        examples=["colony"],
    ),
]
Limit = Annotated[int, Query(ge=1, le=ROWS_MAX, description="At most so many.")]


@router.get("/proficiency", responses=answers(Listing, "The ratings.", PROFICIENCY))
async def proficiency_of(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    time: TimeAsOf,
    agent: OfAgent = None,
    skill: AtSkill = None,
    limit: Limit = SHOWN,
    moment: AsOf = None,
) -> Response:
    """How good each agent is at each skill, with how sure that is, and what was observed of it.

    `rating` is the chance that the agent succeeds at a task of average difficulty; with 95 % probability it is between
    `low` and `high`. `uncertainty` is the standard deviation behind both, in logits: more outcomes lower it, idle time
    raises it. Of one skill, who is best comes first. Where agent and skill are both named there is an answer also for
    who never did that.
    """
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, needed(node, OBSERVED, OUTCOMES), leash) as models:
            ratings = kept(node, models, moment).level(leash)
            return json(listing(models, ratings, now=time, agent_id=agent, skill=skill, limit=limit, leash=leash))

    return dated(await in_time(request, lanes, leash, answer), moment)


@router.get("/proficiency/gaps", responses=answers(Gaps, "The gaps.", GAPS))
async def gaps_in_proficiency(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    time: TimeAsOf,
    of: Whose = "agents",
    agent: OfAgent = None,
    skill: AtSkill = None,
    limit: Limit = SHOWN,
    moment: AsOf = None,
) -> Response:
    """Skills at which an agent, or the colony, is `weak` or `unknown`: the greatest need of practice first.

    Looked at are the skills that an agent says it has, and those that it has shown; left out are agents that have
    expired or left. Unknown is what may be anything, weak what fails more often than not. `need` is 1 less the lower
    bound of the rating; that of the colony is its most surely good agent's.
    """
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, needed(node, SKILLS_OF_AGENTS, OUTCOMES), leash) as models:
            found = partial(gaps, models, kept(node, models, moment).level(leash), now=time)
            return json(found(of_colony=of == "colony", agent_id=agent, skill=skill, limit=limit, leash=leash))

    return dated(await in_time(request, lanes, leash, answer), moment)


@router.get("/proficiency/history", responses=answers(RatingHistory, "The ratings, day by day.", RATING_HISTORY))
async def history_of_rating(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    time: TimeAsOf,
    agent: Annotated[str, Query(description="Whose.", examples=["coder-7"])],
    skill: Annotated[str, Query(description="At what.", examples=["code.review"])],
    days: Annotated[int, Query(ge=1, le=DAYS_MAX, description="How many days, today included.")] = 30,
    moment: AsOf = None,
) -> Response:
    """An agent's rating at a skill at the end of each day (UTC), by the outcomes up to then; on the last, right now.

    It begins with the day of the first outcome. All outcomes are gone through, so with very many it takes a while.
    """
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, needed(node, OUTCOMES), leash) as models:
            return json(rating_history(models, agent, skill, now=time, days=days, leash=leash))

    return dated(await in_time(request, lanes, leash, answer, of_past=True), moment)


def needed(node: Node, *statements: str) -> list[str]:
    """The read models that the statements ask."""
    return sorted({name for statement in statements for name in node.projections.named_in(statement)})


def kept(node: Node, models: ReadModels, moment: Vector | None) -> Proficiency:
    """The ratings that the node keeps; those of the past are told anew."""
    return node.proficiency if moment is None else Proficiency(models)
