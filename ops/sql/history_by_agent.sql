-- The history of agents: each one's work and spending in each hour, day or month, or in two periods as a whole ($whole).
--
-- $start and $finish are one period, $before and $before_finish another, which is empty where only one is asked for.
select
    if($whole, if(hour >= $start::timestamp, $start::timestamp, $before::timestamp), date_trunc($unit, hour)) as start,
    agent_id as name,
    sum(columns(* exclude (hour, agent_id, cost_usd))),
    if(sum(llm_calls) = 0, 0, sum(cost_usd)) as cost_usd,
    sum(runs_succeeded) / nullif(sum(runs_judged), 0) as success_rate
from agent_hourly
where (hour >= $start::timestamp and hour < $finish::timestamp)
    or (hour >= $before::timestamp and hour < $before_finish::timestamp)
group by 1, 2
order by start, name nulls last
