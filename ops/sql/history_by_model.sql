-- The history of models: the calls of each one in each hour, day or month, or in two periods as a whole ($whole).
--
-- $start and $finish are one period, $before and $before_finish another, which is empty where only one is asked for.
select
    if($whole, if(hour >= $start::timestamp, $start::timestamp, $before::timestamp), date_trunc($unit, hour)) as start,
    concat(provider, '/', model) as name,
    sum(calls) as llm_calls,
    sum(failed_calls) as llm_errors,
    sum(input_tokens) as input_tokens,
    sum(output_tokens) as output_tokens,
    sum(cost_usd) as cost_usd,
    sum(unpriced_calls) as unpriced_calls,
    (sum(calls) - sum(failed_calls)) / sum(calls) as success_rate
from model_hourly
where (hour >= $start::timestamp and hour < $finish::timestamp)
    or (hour >= $before::timestamp and hour < $before_finish::timestamp)
group by 1, 2
order by start, name
