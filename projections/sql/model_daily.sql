-- projection: model_daily   version: 1   key: day, provider, model   uses: model_hourly
-- Each model day by day.
-- why: model_hourly   by: day = hour::date, provider, model

create view model_daily as
select
    hour::date as day,                   -- The day, in UTC.
    provider, model,
    sum(columns(* exclude (hour, provider, model)))
from model_hourly
group by all;
