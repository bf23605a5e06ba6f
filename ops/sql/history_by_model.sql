-- The history of models: the calls of each one in each hour, day or month, or in two periods as a whole ($whole).
--
-- $start and $finish are one period, $before and $before_finish another, which is empty where only one is asked for. Of
-- two periods, what was done `together` comes first, then those that in the later one cost most, or did most.
select
    if($whole, if(hour >= $start::timestamp, $start::timestamp, $before::timestamp), date_trunc($unit, hour)) as start,
    concat(provider, '/', model) as name,
    grouping(concat(provider, '/', model)) = 1 as together,
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
group by grouping sets ((1, 2), (1))
having $whole or not together
order by
    together desc,
    if($whole, coalesce(
        sum(sum(cost_usd) filter (hour >= $start::timestamp)) over (partition by together, name), 0
    ), 0) desc,
    if($whole, coalesce(
        sum(sum(calls) filter (hour >= $start::timestamp)) over (partition by together, name), 0
    ), 0) desc,
    if($whole, null, start), name nulls last, start
