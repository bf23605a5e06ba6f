-- projection: skill_daily   version: 1   key: day, skill   uses: skill_hourly
-- Each skill day by day.
-- why: skill_hourly   by: day = hour::date, skill

create view skill_daily as
select
    hour::date as day,                   -- The day, in UTC.
    skill,
    sum(columns(* exclude (hour, skill)))
from skill_hourly
group by all;
