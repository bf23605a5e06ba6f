-- projection: runs   version: 3   key: run_id   uses: cost_by_run, failure_attributions
-- Every run: how it stands, what it was worth, what happened in it and what it cost.
-- why: run_started, run_completed, run_failed, run_cancelled, run_failure_attributed   by: run_id = subject
-- why: message_recorded, tool_call_completed   by: run_id   where: run_id is not null
-- why: cost_by_run   by: run_id

create table run_starts (
    run_id varchar, agent_id varchar, task_id varchar, task varchar, skill varchar, parent_run_id varchar,
    assignment_id varchar, clock varchar, started_at timestamp, happened struct(time timestamp, origin varchar, n ubigint)
);
create table run_ends (
    run_id varchar, status varchar, agent_id varchar, skill varchar, success boolean, reward decimal(18, 9),
    duration_seconds decimal(18, 6), error varchar, ended_at timestamp,
    happened struct(time timestamp, origin varchar, n ubigint)
);
create table run_activity (run_id varchar, messages hugeint, tool_calls hugeint, tool_errors hugeint);

create view runs_keys as
select run_id from run_starts
union all select run_id from run_ends
union all select run_id from run_activity
union all select run_id from run_costs
union all select run_id from failure_attributions;

create view runs as
with known as (
    select distinct run_id from runs_keys
), mistake as (
    select distinct on (run_id) * from failure_attributions order by time desc, origin desc, n desc
)
select
    known.run_id,                                            -- The run.
    coalesce(ended.status, 'running') as status,             -- running, completed, failed or cancelled.
    coalesce(started.agent_id, ended.agent_id) as agent_id,  -- Who was at work.
    started.task_id,                                         -- The task.
    started.task,                                            -- The task in words.
    coalesce(started.skill, ended.skill) as skill,           -- The skill that it asks for.
    started.parent_run_id,                                   -- The run that this one is a part of.
    started.assignment_id,                                   -- The assignment that it carries out.
    started.started_at,                                      -- When work began.
    ended.ended_at,                                          -- When it ended.
    coalesce(
        ended.duration_seconds::double,
        if(clock = 'wall' and ended_at >= started_at, date_diff('microsecond', started_at, ended_at) / 1e6, null)
    ) as duration_seconds,                                   -- How long it took: as reported, or by the clock.
    ended.success,                                           -- Whether the result is right, where that is known.
    ended.reward::double as reward,                          -- What the run was worth.
    coalesce(activity.messages, 0) as messages,              -- How many messages were exchanged.
    coalesce(activity.tool_calls, 0) as tool_calls,          -- How many tools were called.
    coalesce(activity.tool_errors, 0) as tool_errors,        -- How many of those calls failed.
    coalesce(cost.calls, 0) as llm_calls,                    -- How many models were called.
    coalesce(cost.input_tokens, 0) as input_tokens,          -- All of the prompts.
    coalesce(cost.output_tokens, 0) as output_tokens,        -- All of the answers.
    cost.cost_usd,                                           -- What the calls of known price cost.
    coalesce(cost.unpriced_calls, 0) as unpriced_calls,      -- How many calls have no known price.
    mistake.agent_id as mistake_agent_id,                    -- Who made the decisive mistake.
    mistake.step as mistake_step,                            -- At which step.
    mistake.reason as mistake_reason,                        -- What it was.
    ended.error                                              -- Why the run failed or was cancelled.
from known
left join run_starts as started using (run_id)
left join run_ends as ended using (run_id)
left join run_activity as activity using (run_id)
left join cost_by_run as cost using (run_id)
left join mistake using (run_id);

-- fold: run_started
merge into run_starts as known using (
    select
        subject as run_id, agent_id, task_id, task, skill, parent_run_id, assignment_id, clock,
        time as started_at, happened
    from run_started
    qualify row_number() over (partition by subject order by happened desc) = 1
) as new using (run_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;

-- relation: run_ended   of: run_completed, run_failed, run_cancelled
select
    subject as run_id, split_part(type, '.', 2) as status, agent_id, skill,
    if(type = 'run.failed', false, success) as success, reward, duration_seconds, coalesce(error, reason) as error,
    time as ended_at, happened
from events
where type in ('run.completed', 'run.failed', 'run.cancelled');

-- fold: run_ended
merge into run_ends as known using (
    from run_ended
    qualify row_number() over (partition by run_id order by happened desc) = 1
) as new using (run_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;

-- relation: run_step   of: message_recorded, tool_call_completed
select
    run_id,
    (type = 'message.recorded')::int as messages,
    (type = 'tool_call.completed')::int as tool_calls,
    (
        type = 'tool_call.completed'
        and (error is not null or coalesce(outcome, '') in ('error', 'timed_out', 'denied'))
    )::int as tool_errors
from events
where type in ('message.recorded', 'tool_call.completed') and run_id is not null;

-- fold: run_step
merge into run_activity as known using (
    select run_id, sum(columns(* exclude (run_id))) from run_step group by run_id
) as new using (run_id)
when matched then update set
    messages = known.messages + new.messages,
    tool_calls = known.tool_calls + new.tool_calls,
    tool_errors = known.tool_errors + new.tool_errors
when not matched then insert by name;
