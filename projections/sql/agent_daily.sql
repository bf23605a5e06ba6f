-- projection: agent_daily   version: 1   key: day, agent_id   uses: agent_hourly
-- Each agent day by day.
-- why: agent_hourly   by: day = hour::date, agent_id

create view agent_daily as
select
    hour::date as day,                   -- The day, in UTC.
    agent_id,
    sum(columns(* exclude (hour, agent_id)))
from agent_hourly
group by all;
