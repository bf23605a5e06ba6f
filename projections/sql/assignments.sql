-- projection: assignments   version: 2   key: assignment_id
-- Every assignment: who has it, how it stands and how it ended.
-- why: assignment_created, assignment_started   by: assignment_id = subject
-- why: assignment_completed, assignment_failed, assignment_timed_out, assignment_cancelled   by: assignment_id = subject

create table assignment_creations (
    assignment_id varchar, kind varchar, agent_id varchar, skill varchar, timeout_seconds decimal(18, 6),
    created_at timestamp, happened struct(time timestamp, origin varchar, n ubigint)
);
create table assignment_starts (
    assignment_id varchar, agent_id varchar, run_id varchar, started_at timestamp,
    happened struct(time timestamp, origin varchar, n ubigint)
);
create table assignment_ends (
    assignment_id varchar, status varchar, agent_id varchar, skill varchar, score decimal(18, 9),
    duration_seconds decimal(18, 6), error varchar, ended_at timestamp,
    happened struct(time timestamp, origin varchar, n ubigint)
);

create view assignments as
select
    assignment_id,                                            -- The assignment.
    created.kind,                                             -- What kind of task it is.
    coalesce(ended.status, if(started_at is null, 'pending', 'running')) as status, -- pending, running, completed, failed, timed_out or cancelled.
    coalesce(ended.agent_id, started.agent_id, created.agent_id) as agent_id, -- Who has it.
    coalesce(created.skill, ended.skill) as skill,            -- The skill that it asks for.
    started.run_id,                                           -- The run that carries it out.
    created_at,                                               -- When it was given out.
    started_at,                                               -- When it was taken up.
    ended_at,                                                 -- When it ended.
    coalesce(
        ended.duration_seconds::double,
        if(ended_at >= started_at, date_diff('microsecond', started_at, ended_at) / 1e6, null)
    ) as duration_seconds,                                    -- How long it took: as reported, or from start to end.
    created.timeout_seconds::double as timeout_seconds,       -- How long it may take.
    ended.score::double as score,                             -- How well it was done, where somebody judged it.
    ended.error                                               -- Why it failed or was cancelled.
from assignment_creations as created
full join assignment_starts as started using (assignment_id)
full join assignment_ends as ended using (assignment_id);

-- fold: assignment_created
merge into assignment_creations as known using (
    select
        subject as assignment_id, kind, agent_id, skill, timeout_seconds, time as created_at, happened
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

-- relation: assignment_ended   of: assignment_completed, assignment_failed, assignment_timed_out, assignment_cancelled
select
    subject as assignment_id, split_part(type, '.', 2) as status, agent_id, skill, score, duration_seconds,
    coalesce(error, reason) as error, time as ended_at, happened
from events
where type in ('assignment.completed', 'assignment.failed', 'assignment.timed_out', 'assignment.cancelled');

-- fold: assignment_ended
merge into assignment_ends as known using (
    from assignment_ended
    qualify row_number() over (partition by assignment_id order by happened desc) = 1
) as new using (assignment_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;
