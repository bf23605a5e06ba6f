-- projection: proficiency   version: 1   key: agent_id, skill
-- How good each agent is at each skill, with how sure one can be of it, from the outcomes of its work.
--
-- What counts, if it names both the agent and the skill: assignment.completed (its score, or 1), assignment.failed and
-- assignment.timed_out (0), run.completed (success as 1 or 0, or else its reward cut off at 0 and 1; neither: it doesn't
-- count), run.failed (its reward likewise, or 0), and feedback.given (its score). Each counts once, with a score from 0
-- to 1 that counts as that fraction of a success.
--
-- The rating is the mean of the Beta posterior under Jeffreys' prior Beta(1/2, 1/2): (s + 1/2) / (n + 1) for a sum of
-- scores s in n outcomes. The bounds are Wilson's 95 % score interval (E. B. Wilson, "Probable inference, the law of
-- succession, and statistical inference", JASA 22, 1927), which holds its level even for few outcomes (L. D. Brown,
-- T. T. Cai, A. DasGupta, "Interval estimation for a binomial proportion", Statistical Science 16, 2001). Fractional
-- scores vary less than the successes and failures that it assumes, so for them it errs on the wide side.
-- Only sums per day are kept, so that the order of the outcomes doesn't matter.
-- why: outcome   by: agent_id, skill   where: score is not null

create table proficiency_days (
    agent_id varchar, skill varchar, day date, attempts hugeint, judgements hugeint, successes hugeint,
    score decimal(38, 9), seconds decimal(38, 6), last_at timestamp
);

create view proficiency as
with days as (
    select
        *, attempts + judgements as outcomes,
        day > max(day) over (partition by agent_id, skill) - 7 as recent
    from proficiency_days
), sums as (
    select
        agent_id, skill,
        sum(attempts) as attempts, sum(judgements) as judgements, sum(successes) as successes,
        sum(outcomes)::double as n,
        sum(score)::double / sum(outcomes)::double as mean,
        sum(score) filter (recent)::double / sum(outcomes) filter (recent)::double
            - sum(score) filter (not recent)::double / sum(outcomes) filter (not recent)::double as trend,
        sum(seconds)::double as seconds,
        max(last_at) as last_at
    from days
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
    (mean * n + 0.5) / (n + 1) as rating,         -- How good it is: from 0 to 1.
    greatest(centre - reach, 0) as rating_low,    -- The rating's lower bound (95 %).
    least(centre + reach, 1) as rating_high,      -- The rating's upper bound (95 %).
    mean as mean_score,                           -- The mean of all scores.
    attempts,                                     -- Assignments and runs that count.
    successes,                                    -- Those that scored at least 1/2.
    judgements,                                   -- Feedback that counts.
    trend,                                        -- The mean score of the last 7 days less that of the days before.
    seconds as time_invested_seconds,             -- How long the attempts took whose duration is known.
    last_at                                       -- The last outcome.
from wilson;

-- relation: outcome   of: assignment_completed, assignment_failed, assignment_timed_out, run_completed, run_failed, feedback_given
select
    origin, n, agent_id, skill, time, duration_seconds,
    (type <> 'feedback.given')::int as attempts,
    case type
        when 'assignment.completed' then coalesce(score, 1)
        when 'run.completed' then coalesce(success::int, case when reward < 0 then 0 when reward > 1 then 1 else reward end)
        when 'run.failed' then greatest(least(coalesce(reward, 0), 1), 0)
        when 'feedback.given' then score
        else 0
    end as score
from events
where agent_id is not null and skill is not null and type in (
    'assignment.completed', 'assignment.failed', 'assignment.timed_out', 'run.completed', 'run.failed', 'feedback.given'
);

-- fold: outcome
merge into proficiency_days as known using (
    select
        agent_id, skill, time::date as day, sum(attempts) as attempts, sum(1 - attempts) as judgements,
        count(*) filter (attempts = 1 and score >= 0.5) as successes, sum(score)::decimal(38, 9) as score,
        coalesce(sum(duration_seconds), 0) as seconds, max(time) as last_at
    from outcome
    where score is not null
    group by all
) as new using (agent_id, skill, day)
when matched then update set
    attempts = known.attempts + new.attempts,
    judgements = known.judgements + new.judgements,
    successes = known.successes + new.successes,
    score = known.score + new.score,
    seconds = known.seconds + new.seconds,
    last_at = greatest(known.last_at, new.last_at)
when not matched then insert by name;
