-- What a task has cost each agent on average, where that is known: of all its model calls, and there were some.
select agent_id, (cost_usd / begun)::double as cost_usd
from agent_stats
where agent_id > $after and begun > 0 and llm_calls > 0 and unpriced_calls = 0
order by agent_id
