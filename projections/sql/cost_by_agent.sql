-- projection: cost_by_agent   version: 1   key: agent_id   uses: cost_by_hour
-- Calls, tokens and dollars per agent.
-- why: cost_by_hour   by: agent_id

create view cost_by_agent as
select
    agent_id,                            -- The agent that asked; NULL for the calls that don't say.
    sum(columns(* exclude (hour, provider, model, agent_id)))
from cost_by_hour
group by all;
