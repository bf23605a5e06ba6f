-- projection: cost_by_provider   version: 1   key: provider   uses: cost_by_hour
-- Calls, tokens and dollars per provider.
-- why: cost_by_hour   by: provider

create view cost_by_provider as
select
    provider,                            -- Who was asked.
    sum(columns(* exclude (hour, provider, model, agent_id)))
from cost_by_hour
group by all;
