-- projection: fleet   version: 1   uses: fleet_hourly, agents, runs
-- The colony as a whole, in one row.
-- why: fleet_hourly

create view fleet as
select
    (select count(*) from agents) as agents,                         -- Agents that are known.
    (select count(*) from agents where state = 'alive') as agents_alive, -- Agents that are held to be alive.
    (select count(*) from runs) as runs,                             -- Runs.
    (select count(*) from runs where status = 'running') as runs_running, -- Runs that have not ended.
    coalesce(sum(events), 0) as events,                              -- All events.
    coalesce(sum(messages), 0) as messages,                          -- Messages exchanged.
    coalesce(sum(tool_calls), 0) as tool_calls,                      -- Tools called.
    coalesce(sum(tool_errors), 0) as tool_errors,                    -- Tool calls that failed.
    coalesce(sum(llm_calls), 0) as llm_calls,                        -- Models called.
    coalesce(sum(llm_errors), 0) as llm_errors,                      -- Model calls that failed.
    coalesce(sum(input_tokens), 0) as input_tokens,                  -- All of the prompts.
    coalesce(sum(output_tokens), 0) as output_tokens,                -- All of the answers.
    sum(cost_usd) as cost_usd,                                       -- What the calls of known price cost.
    coalesce(sum(unpriced_calls), 0) as unpriced_calls,              -- How many calls have no known price.
    (select count(distinct agent_id) from agent_hours) as active_agents, -- Agents that ever did something.
    min(hour) as first_hour,                                         -- The first hour with events, in UTC.
    max(hour) as last_hour                                           -- The last.
from fleet_hourly;
