-- projection: assignments   version: 4   key: assignment_id
-- Every assignment: who has it, how it stands and how it ended. Its first end counts, in the order of the log.
-- why: assignment_created, assignment_started, assignment_released   by: assignment_id = subject
-- why: assignment_completed, assignment_failed, assignment_timed_out, assignment_cancelled   by: assignment_id = subject

create table assignment_creations (
    assignment_id varchar, kind varchar, agent_id varchar, skill varchar, timeout_seconds decimal(18, 6),
    deadline_seconds decimal(18, 6), chosen json, created_at timestamp,
    happened struct(time timestamp, origin varchar, n ubigint)
);
create table assignment_starts (
    assignment_id varchar, agent_id varchar, run_id varchar, started_at timestamp,
    happened struct(time timestamp, origin varchar, n ubigint)
);
create table assignment_attempts (assignment_id varchar, attempts hugeint);
create table assignment_releases (
    assignment_id varchar, reason varchar, happened struct(time timestamp, origin varchar, n ubigint)
);
create table assignment_ends (
    assignment_id varchar, status varchar, agent_id varchar, skill varchar, score decimal(18, 9),
    duration_seconds decimal(18, 6), error varchar, ended_at timestamp,
    told struct(origin varchar, n ubigint)
);

create view assignments as
with holdings as (
    select
        assignment_id, started.agent_id, started.run_id, started.started_at, released.reason,
        released.happened is not null
            and (started.happened is null or released.happened > started.happened) as is_released
    from assignment_starts as started
    full join assignment_releases as released using (assignment_id)
)
select
    assignment_id,                                            -- The assignment.
    created.kind,                                             -- What kind of task it is.
    coalesce(ended.status, if(started_at is null or is_released, 'pending', 'running')) as status, -- pending, running, completed, failed, timed_out or cancelled.
    coalesce(
        ended.agent_id,
        if(is_released, null, held.agent_id),
        if(is_released and created.chosen is not null, null, created.agent_id)
    ) as agent_id,                                            -- Who has it, or is to have it.
    coalesce(created.skill, ended.skill) as skill,            -- The skill that it asks for.
    held.run_id,                                              -- The run that carries it out: the latest attempt's.
    coalesce(attempts, 0)::bigint as attempts,                -- How often it was begun.
    created_at,                                               -- When it was given out.
    started_at,                                               -- When it was taken up: the latest time.
    ended_at,                                                 -- When it ended.
    coalesce(
        ended.duration_seconds::double,
        if(ended_at >= started_at, date_diff('microsecond', started_at, ended_at) / 1e6, null)
    ) as duration_seconds,                                    -- How long it took: as reported, or from start to end.
    created.timeout_seconds::double as timeout_seconds,       -- How long an attempt at it may take.
    created.deadline_seconds::double as deadline_seconds,     -- How long it may take in all, waiting included.
    ended.score::double as score,                             -- How well it was done, where somebody judged it.
    coalesce(ended.error, if(ended.status is null and is_released, held.reason, null)) as error, -- Why it failed, was cancelled, or was given back.
    created.chosen as chosen                                  -- Why this agent, where one was chosen.
from assignment_creations as created
full join holdings as held using (assignment_id)
full join assignment_ends as ended using (assignment_id)
left join assignment_attempts using (assignment_id);

-- fold: assignment_created
merge into assignment_creations as known using (
    select
        subject as assignment_id, kind, agent_id, skill, timeout_seconds, deadline_seconds, chosen,
        time as created_at, happened
    from assignment_created
    qualify row_number() over (partition by subject order by happened desc) = 1
) as new using (assignment_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;

-- fold: assignment_started
merge into assignment_starts as known using (
    select subject as assignment_id, agent_id, run_id, time as started_at, happened
    from assignment_started
    qualify row_number() over (partition by subject order by happened desc) = 1
) as new using (assignment_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;

-- fold: assignment_started
merge into assignment_attempts as known using (
    select subject as assignment_id, count(*) as attempts from assignment_started group by all
) as new using (assignment_id)
when matched then update set attempts = known.attempts + new.attempts
when not matched then insert by name;

-- fold: assignment_released
merge into assignment_releases as known using (
    select subject as assignment_id, reason, happened
    from assignment_released
    qualify row_number() over (partition by subject order by happened desc) = 1
) as new using (assignment_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;

-- relation: assignment_ended   of: assignment_completed, assignment_failed, assignment_timed_out, assignment_cancelled
select
    subject as assignment_id, split_part(type, '.', 2) as status, agent_id, skill, score, duration_seconds,
    coalesce(error, reason) as error, time as ended_at,
    struct_pack(origin := origin, n := n) as told
from events
where type in ('assignment.completed', 'assignment.failed', 'assignment.timed_out', 'assignment.cancelled');

-- fold: assignment_ended
merge into assignment_ends as known using (
    from assignment_ended
    qualify row_number() over (partition by assignment_id order by told) = 1
) as new using (assignment_id)
when matched and new.told < known.told then update by name
when not matched then insert by name;
