-- projection: agent_hourly   version: 1   key: hour, agent_id   uses: work_by_hour, cost_by_hour
-- Each agent hour by hour: what it did, how well, and what that cost.
-- why: work_by_hour   by: hour, agent_id
-- why: cost_by_hour   by: hour, agent_id

create view agent_hourly as
with parts as (
    select * exclude (skill) from work_by_hour
    union all by name
    select
        hour, agent_id, calls as llm_calls, failed_calls as llm_errors, input_tokens, output_tokens, cost_usd,
        unpriced_calls
    from cost_by_hour
)
select
    hour,                                -- The hour, in UTC.
    agent_id,                            -- The agent; NULL for what nobody is named for.
    coalesce(sum(columns(* exclude (hour, agent_id, llm_calls, llm_errors, cost_usd))), 0),
    coalesce(sum(llm_calls), 0) as llm_calls, -- Models called.
    coalesce(sum(llm_errors), 0) as llm_errors, -- Model calls that failed.
    sum(cost_usd) as cost_usd            -- What the calls of known price cost; NULL if there are none.
from parts
group by all;
