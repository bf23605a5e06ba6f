-- projection: model_hourly   version: 1   key: hour, provider, model   uses: cost_by_hour
-- Each model hour by hour: how often it was asked, how often it failed, its tokens and what they cost.
-- why: cost_by_hour   by: hour, provider, model

create view model_hourly as
select
    hour,                                -- The hour, in UTC.
    provider,                            -- Who was asked.
    model,                               -- The model that was asked for.
    sum(columns(* exclude (hour, provider, model, agent_id)))
from cost_by_hour
group by all;
