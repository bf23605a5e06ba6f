-- projection: cost_by_day   version: 1   key: day   uses: cost_by_hour
-- Calls, tokens and dollars per day.
-- why: cost_by_hour   by: day = hour::date

create view cost_by_day as
select
    hour::date as day,                   -- The day, in UTC.
    sum(columns(* exclude (hour, provider, model, agent_id)))
from cost_by_hour
group by all;
