-- projection: fleet_daily   version: 1   key: day   uses: fleet_hourly
-- The colony day by day.
-- why: fleet_hourly   by: day = hour::date

create view fleet_daily as
with days as (
    select
        hour::date as day,               -- The day, in UTC.
        sum(columns(* exclude (hour, active_agents)))
    from fleet_hourly
    group by all
), active as (
    select hour::date as day, count(distinct agent_id) as active_agents from agent_hours group by all
)
select days.*, coalesce(active_agents, 0) as active_agents from days left join active using (day);
