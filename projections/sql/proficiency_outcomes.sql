-- projection: proficiency_outcomes   version: 1   key: work, agent_id, skill
-- What came of each piece of work that says whose it was and at which skill: what proficiency is told from.
--
-- What counts: assignment.completed (its score, or 1), assignment.failed and assignment.timed_out (0), run.completed
-- (success as 1 or 0, or else its reward cut off at 0 and 1; neither: it doesn't count), run.failed (its reward likewise,
-- or 0), and feedback.given (its score). Each says both the agent and the skill, and a score from 0 to 1 counts as that
-- fraction of a success.
--
-- A piece of work counts once for each agent that did it. That is an assignment, with those of its runs and of the
-- feedback that name it; or a run, with the feedback that names it; or feedback that names neither. The assignment's end
-- outranks its runs'; of several the latest counts. What others judged outranks both: the mean of their scores.
-- why: outcome   by: work, agent_id, skill   where: score is not null

create table outcomes_of_work (
    work varchar, agent_id varchar, skill varchar, task_id varchar,
    ended struct(
        rank integer, happened struct(time timestamp, origin varchar, n ubigint),
        score decimal(18, 9), seconds decimal(18, 6)
    ),
    judged_score decimal(38, 9), judgements hugeint, judged_at timestamp
);

create view proficiency_outcomes as
select
    work,                                             -- The piece of work: assignment/ID, run/ID or feedback/ID.
    agent_id,                                         -- Who did it.
    skill,                                            -- The skill that it took.
    task_id,                                          -- The task, where a run names one that others may have done, too.
    if(judgements > 0, (judged_score / judgements)::decimal(18, 9), ended.score)::double as score, -- What came of it: from 0 to 1.
    ended.seconds::double as duration_seconds,        -- How long it took.
    judgements,                                       -- How many judged it.
    ended is not null as is_ended,                    -- Whether its end is known, or only what others thought of it.
    coalesce(ended.happened.time, judged_at) as time  -- When it ended; where that is not known, the latest judgement.
from outcomes_of_work;

-- relation: outcome   of: assignment_completed, assignment_failed, assignment_timed_out, run_completed, run_failed, feedback_given
select
    origin, n, time, happened, agent_id, skill, task_id, duration_seconds,
    case
        when starts_with(type, 'assignment.') then concat('assignment/', subject)
        when assignment_id is not null then concat('assignment/', assignment_id)
        when type = 'feedback.given' and run_id is null then concat('feedback/', subject)
        else concat('run/', if(type = 'feedback.given', run_id, subject))
    end as work,
    type = 'feedback.given' as is_judgement,
    starts_with(type, 'assignment.')::int as rank,
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
merge into outcomes_of_work as known using (
    select
        work, agent_id, skill, max(task_id) as task_id,
        max({rank: rank, happened: happened, score: score::decimal(18, 9), seconds: duration_seconds})
            filter (not is_judgement) as ended,
        coalesce(sum(score) filter (is_judgement), 0)::decimal(38, 9) as judged_score,
        count(*) filter (is_judgement) as judgements,
        max(time) filter (is_judgement) as judged_at
    from outcome
    where score is not null
    group by work, agent_id, skill
) as new using (work, agent_id, skill)
when matched then update set
    task_id = greatest(known.task_id, new.task_id),
    ended = if(known.ended is null or new.ended > known.ended, coalesce(new.ended, known.ended), known.ended),
    judged_score = known.judged_score + new.judged_score,
    judgements = known.judgements + new.judgements,
    judged_at = greatest(known.judged_at, new.judged_at)
when not matched then insert by name;
