-- projection: skill_monthly   version: 1   key: month, skill   uses: skill_hourly
-- Each skill month by month.
-- why: skill_hourly   by: month = date_trunc('month', hour)::date, skill

create view skill_monthly as
select
    date_trunc('month', hour)::date as month, -- The month's first day, in UTC.
    skill,
    sum(columns(* exclude (hour, skill)))
from skill_hourly
group by all;
