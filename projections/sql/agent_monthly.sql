-- projection: agent_monthly   version: 1   key: month, agent_id   uses: agent_hourly
-- Each agent month by month.
-- why: agent_hourly   by: month = date_trunc('month', hour)::date, agent_id

create view agent_monthly as
select
    date_trunc('month', hour)::date as month, -- The month's first day, in UTC.
    agent_id,
    sum(columns(* exclude (hour, agent_id)))
from agent_hourly
group by all;
