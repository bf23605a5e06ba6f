-- Every agent that is there or has worked, with what came of its work; $agent_id: of one.
select
    agent_id,
    agents.name,
    coalesce(agents.state, 'unknown') as state,
    coalesce(begun, 0) as begun,
    coalesce(running, 0) as running,
    coalesce(completed, 0) as completed,
    coalesce(failed, 0) as failed,
    coalesce(timed_out, 0) as timed_out,
    coalesce(cancelled, 0) as cancelled,
    coalesce(released, 0) as released,
    success_rate, mean_score, mean_seconds, median_seconds, p95_seconds,
    coalesce(llm_calls, 0) as llm_calls,
    coalesce(input_tokens, 0) as input_tokens,
    coalesce(output_tokens, 0) as output_tokens,
    if(coalesce(llm_calls, 0) = 0, 0, cost_usd) as cost_usd,
    coalesce(unpriced_calls, 0) as unpriced_calls,
    last_started_at, last_ended_at
from agents
full join agent_stats using (agent_id)
where agent_id > $after and ($agent_id::varchar is null or agent_id = $agent_id)
order by agent_id
