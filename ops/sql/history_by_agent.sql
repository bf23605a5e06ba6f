-- The history of agents: each one's work and spending in each hour, day or month, or in two periods as a whole ($whole).
--
-- $start and $finish are one period, $before and $before_finish another, which is empty where only one is asked for. Of
-- two periods, what was done `together` comes first, then those that in the later one cost most, or did most.
select
    if($whole, if(hour >= $start::timestamp, $start::timestamp, $before::timestamp), date_trunc($unit, hour)) as start,
    agent_id as name,
    grouping(agent_id) = 1 as together,
    sum(columns(* exclude (hour, agent_id, cost_usd))),
    if(sum(llm_calls) = 0, 0, sum(cost_usd)) as cost_usd,
    sum(runs_succeeded) / nullif(sum(runs_judged), 0) as success_rate
from agent_hourly
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
        sum(sum(runs_started) filter (hour >= $start::timestamp)) over (partition by together, name), 0
    ), 0) desc,
    if($whole, null, start), name nulls last, start
