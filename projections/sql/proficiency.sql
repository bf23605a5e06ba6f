-- projection: proficiency   version: 2   key: agent_id, skill   uses: proficiency_outcomes
-- What was observed of each agent at each skill: how often it did what, how well, and whether that is getting better.
--
-- These are counts and means, of which every piece of work in `proficiency_outcomes` is one. How good the agent is to be
-- taken to be is another question, which depends on how hard its tasks were, on what it does elsewhere and on what has
-- become of it since: `rookery proficiency` and `GET /proficiency` answer that, with a rating from the same outcomes.
--
-- The bounds are Wilson's 95 % score interval (E. B. Wilson, "Probable inference, the law of succession, and statistical
-- inference", JASA 22, 1927), which holds its level even for few outcomes (L. D. Brown, T. T. Cai, A. DasGupta, "Interval
-- estimation for a binomial proportion", Statistical Science 16, 2001). Fractional scores vary less than the successes
-- and failures that it assumes, so for them it errs on the wide side.
-- why: outcome   by: agent_id, skill   where: score is not null

create view proficiency as
with days as (
    select
        agent_id, skill, time::date as day, count(*) as outcomes, count(*) filter (is_ended) as attempts,
        sum(judgements) as judgements, count(*) filter (score >= 0.5) as successes,
        sum(score::decimal(38, 9)) as score, sum(duration_seconds::decimal(38, 6)) as seconds, max(time) as last_at
    from proficiency_outcomes
    group by all
), aged as (
    select *, day > max(day) over (partition by agent_id, skill) - 7 as recent
    from days
), sums as (
    select
        agent_id, skill,
        sum(outcomes) as outcomes, sum(attempts) as attempts, sum(judgements) as judgements, sum(successes) as successes,
        sum(outcomes)::double as n,
        sum(score)::double / sum(outcomes)::double as mean,
        sum(score) filter (recent)::double / sum(outcomes) filter (recent)::double
            - sum(score) filter (not recent)::double / sum(outcomes) filter (not recent)::double as trend,
        coalesce(sum(seconds), 0)::double as seconds,
        max(last_at) as last_at
    from aged
    group by agent_id, skill
), wilson as (
    select
        *,
        (mean + pow(1.959964, 2) / (2 * n)) / (1 + pow(1.959964, 2) / n) as centre,
        1.959964 * sqrt(mean * (1 - mean) / n + pow(1.959964, 2) / (4 * n * n)) / (1 + pow(1.959964, 2) / n) as reach
    from sums
)
select
    agent_id,                                     -- The agent.
    skill,                                        -- The skill.
    outcomes,                                     -- Pieces of work that count.
    attempts,                                     -- Those whose end is known; of the others, only what was thought of them.
    successes,                                    -- Those that scored at least 1/2.
    successes::double / n as success_rate,        -- Their share.
    judgements,                                   -- Feedback that counts.
    mean as mean_score,                           -- The mean of all scores: from 0 to 1.
    greatest(centre - reach, 0) as mean_low,      -- The mean's lower bound (95 %).
    least(centre + reach, 1) as mean_high,        -- The mean's upper bound (95 %).
    trend,                                        -- The mean score of the last 7 days less that of the days before.
    seconds as time_invested_seconds,             -- How long the work took whose duration is known.
    last_at                                       -- When the last of it ended.
from wilson;
