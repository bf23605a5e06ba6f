-- projection: cost_by_model   version: 1   key: provider, model   uses: cost_by_hour
-- Calls, tokens and dollars per model.
-- why: cost_by_hour   by: provider, model

create view cost_by_model as
select
    provider,                            -- Who was asked.
    model,                               -- The model that was asked for.
    sum(columns(* exclude (hour, provider, model, agent_id)))
from cost_by_hour
group by all;
