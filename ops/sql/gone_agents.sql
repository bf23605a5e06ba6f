-- Of the agents that registered on this node's own bus and have gone, what the watch has to know; the latest first.
select agent_id, state, state_since, incarnation, heartbeat_interval_seconds
from agents
where origin = $origin and state in ('evicted', 'unregistered')
order by state_since desc nulls last, agent_id
