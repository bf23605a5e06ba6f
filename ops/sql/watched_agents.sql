-- What the watch has to know of the agents that registered on this node's own bus and have not gone, a page of them
-- behind `after`.
select agent_id, state, state_since, incarnation, heartbeat_interval_seconds
from agents
where origin = $origin and agent_id > $after and state not in ('evicted', 'unregistered')
order by agent_id
