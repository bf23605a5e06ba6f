-- projection: tool_use   version: 1   key: tool, agent_id
-- How each agent gets on with each tool.
-- why: tool_call_completed   by: tool, agent_id

-- An agent that nobody named is '' here, so that rows can be found again by their key.
create table tool_use_totals (
    tool varchar, agent_id varchar, calls hugeint, errors hugeint, timed_calls hugeint, seconds decimal(38, 6),
    first_at timestamp, last_at timestamp
);

create view tool_use as
select
    tool,                                                  -- The tool.
    nullif(agent_id, '') as agent_id,                      -- The agent that called it; NULL where the calls don't say.
    calls,                                                 -- How often.
    errors,                                                -- How often it failed, ran out of time or was denied.
    seconds::double as total_seconds,                      -- How long the calls took whose duration is known.
    seconds::double / nullif(timed_calls, 0)::double as mean_seconds, -- Their mean.
    timed_calls,                                           -- How many those are.
    first_at,                                              -- The first call.
    last_at                                                -- The last call.
from tool_use_totals;

-- fold: tool_call_completed
merge into tool_use_totals as known using (
    select
        tool, coalesce(agent_id, '') as agent_id, count(*) as calls,
        count(*) filter (error is not null or outcome in ('error', 'timed_out', 'denied')) as errors,
        count(duration_seconds) as timed_calls, coalesce(sum(duration_seconds), 0) as seconds,
        min(time) as first_at, max(time) as last_at
    from tool_call_completed
    group by all
) as new using (tool, agent_id)
when matched then update set
    calls = known.calls + new.calls,
    errors = known.errors + new.errors,
    timed_calls = known.timed_calls + new.timed_calls,
    seconds = known.seconds + new.seconds,
    first_at = least(known.first_at, new.first_at),
    last_at = greatest(known.last_at, new.last_at)
when not matched then insert by name;
