-- projection: work_by_hour   version: 1   key: hour, agent_id, skill
-- Work per hour, agent and skill: what the histories of agents and skills are summed from.
-- why: work   by: hour = date_trunc('hour', time), agent_id = nullif(agent_id, ''), skill = nullif(skill, '')

-- An agent or a skill that nobody named is '' here, so that rows can be found again by their key.
create table work_hours (
    hour timestamp, agent_id varchar, skill varchar,
    runs_started hugeint, runs_completed hugeint, runs_failed hugeint, runs_cancelled hugeint,
    runs_judged hugeint, runs_succeeded hugeint, assignments_completed hugeint, assignments_failed hugeint,
    messages hugeint, tool_calls hugeint, tool_errors hugeint
);

create view work_by_hour as
select
    hour,                                -- The hour, in UTC.
    nullif(agent_id, '') as agent_id,    -- Whose work; NULL where nobody says.
    nullif(skill, '') as skill,          -- The skill that it took; NULL where nobody says.
    runs_started,                        -- Runs that began.
    runs_completed,                      -- Runs that ended by themselves.
    runs_failed,                         -- Runs that failed.
    runs_cancelled,                      -- Runs that were called off.
    runs_judged,                         -- Of the runs that ended, those of which is known whether they succeeded.
    runs_succeeded,                      -- Those that did.
    assignments_completed,               -- Assignments that were done.
    assignments_failed,                  -- Assignments that were given up, or not done in time.
    messages,                            -- Messages exchanged.
    tool_calls,                          -- Tools called.
    tool_errors                          -- Tool calls that failed, ran out of time or were denied.
from work_hours;

-- relation: work   of: run_started, run_completed, run_failed, run_cancelled, assignment_completed, assignment_failed, assignment_timed_out, message_recorded, tool_call_completed
select
    origin, n, time,
    coalesce(agent_id, if(source like '/agents/%', publisher, ''), '') as agent_id,
    coalesce(skill, '') as skill,
    type = 'run.started' as runs_started,
    type = 'run.completed' as runs_completed,
    type = 'run.failed' as runs_failed,
    type = 'run.cancelled' as runs_cancelled,
    type = 'run.failed' or (type = 'run.completed' and success is not null) as runs_judged,
    type = 'run.completed' and coalesce(success, false) as runs_succeeded,
    type = 'assignment.completed' as assignments_completed,
    type in ('assignment.failed', 'assignment.timed_out') as assignments_failed,
    type = 'message.recorded' as messages,
    type = 'tool_call.completed' as tool_calls,
    type = 'tool_call.completed' and (
        error is not null or coalesce(outcome, '') in ('error', 'timed_out', 'denied')
    ) as tool_errors
from events
where type in (
    'run.started', 'run.completed', 'run.failed', 'run.cancelled', 'assignment.completed', 'assignment.failed',
    'assignment.timed_out', 'message.recorded', 'tool_call.completed'
);

-- fold: work
merge into work_hours as known using (
    select
        date_trunc('hour', time) as hour, agent_id, skill,
        count_if(columns(* exclude (origin, n, time, agent_id, skill)))
    from work
    group by all
) as new using (hour, agent_id, skill)
when matched then update set
    runs_started = known.runs_started + new.runs_started,
    runs_completed = known.runs_completed + new.runs_completed,
    runs_failed = known.runs_failed + new.runs_failed,
    runs_cancelled = known.runs_cancelled + new.runs_cancelled,
    runs_judged = known.runs_judged + new.runs_judged,
    runs_succeeded = known.runs_succeeded + new.runs_succeeded,
    assignments_completed = known.assignments_completed + new.assignments_completed,
    assignments_failed = known.assignments_failed + new.assignments_failed,
    messages = known.messages + new.messages,
    tool_calls = known.tool_calls + new.tool_calls,
    tool_errors = known.tool_errors + new.tool_errors
when not matched then insert by name;
