-- projection: model_monthly   version: 1   key: month, provider, model   uses: model_hourly
-- Each model month by month.
-- why: model_hourly   by: month = date_trunc('month', hour)::date, provider, model

create view model_monthly as
select
    date_trunc('month', hour)::date as month, -- The month's first day, in UTC.
    provider, model,
    sum(columns(* exclude (hour, provider, model)))
from model_hourly
group by all;
