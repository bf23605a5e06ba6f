-- projection: fleet_hourly   version: 1   key: hour
-- The colony hour by hour: what happened, what it cost, and how many agents were at it.
-- why: events   by: hour = date_trunc('hour', time)

create table fleet_hours (
    hour timestamp, events hugeint, runs_started hugeint, runs_completed hugeint, runs_failed hugeint,
    messages hugeint, tool_calls hugeint, tool_errors hugeint, llm_calls hugeint, llm_errors hugeint,
    input_tokens hugeint, output_tokens hugeint, cost_usd decimal(38, 12), unpriced_calls hugeint
);
-- Which agents were active in which hour: the set itself, because counts of distinct things can't be added up.
create table agent_hours (hour timestamp, agent_id varchar);

create view fleet_hourly as
select
    hour,                                -- The hour, in UTC.
    events,                              -- All events.
    runs_started,                        -- Runs that began.
    runs_completed,                      -- Runs that ended by themselves.
    runs_failed,                         -- Runs that failed.
    messages,                            -- Messages exchanged.
    tool_calls,                          -- Tools called.
    tool_errors,                         -- Tool calls that failed, ran out of time or were denied.
    llm_calls,                           -- Models called.
    llm_errors,                          -- Model calls that failed.
    input_tokens,                        -- All of the prompts.
    output_tokens,                       -- All of the answers.
    if(unpriced_calls < llm_calls, cost_usd, null) as cost_usd, -- What the calls of known price cost; NULL if there are none.
    unpriced_calls,                      -- How many calls have no known price: the cost leaves them out.
    coalesce(active_agents, 0) as active_agents -- Agents that did something, or to whom something happened.
from fleet_hours
left join (select hour, count(*) as active_agents from agent_hours group by hour) using (hour);

-- fold: events
merge into fleet_hours as known using (
    select
        date_trunc('hour', time) as hour,
        count(*) as events,
        count(*) filter (type = 'run.started') as runs_started,
        count(*) filter (type = 'run.completed') as runs_completed,
        count(*) filter (type = 'run.failed') as runs_failed,
        count(*) filter (type = 'message.recorded') as messages,
        count(*) filter (type = 'tool_call.completed') as tool_calls,
        count(*) filter (
            type = 'tool_call.completed' and (error is not null or outcome in ('error', 'timed_out', 'denied'))
        ) as tool_errors,
        count(*) filter (type like 'llm_call.%') as llm_calls,
        count(*) filter (type = 'llm_call.failed') as llm_errors,
        coalesce(sum(input_tokens) filter (type like 'llm_call.%'), 0) as input_tokens,
        coalesce(sum(output_tokens) filter (type like 'llm_call.%'), 0) as output_tokens,
        coalesce(sum(cost_usd) filter (type like 'llm_call.%'), 0) as cost_usd,
        count(*) filter (type like 'llm_call.%' and cost_usd is null) as unpriced_calls
    from events
    group by all
) as new using (hour)
when matched then update set
    events = known.events + new.events,
    runs_started = known.runs_started + new.runs_started,
    runs_completed = known.runs_completed + new.runs_completed,
    runs_failed = known.runs_failed + new.runs_failed,
    messages = known.messages + new.messages,
    tool_calls = known.tool_calls + new.tool_calls,
    tool_errors = known.tool_errors + new.tool_errors,
    llm_calls = known.llm_calls + new.llm_calls,
    llm_errors = known.llm_errors + new.llm_errors,
    input_tokens = known.input_tokens + new.input_tokens,
    output_tokens = known.output_tokens + new.output_tokens,
    cost_usd = known.cost_usd + new.cost_usd,
    unpriced_calls = known.unpriced_calls + new.unpriced_calls
when not matched then insert by name;

merge into agent_hours as known using (
    select distinct hour, agent_id
    from (
        select hour, unnest([agent_id, if(source like '/agents/%', split_part(source, '/', -1), null)]) as agent_id
        from (select date_trunc('hour', time) as hour, agent_id, source from events group by all)
    )
    where agent_id <> ''
) as new using (hour, agent_id)
when not matched then insert by name;
