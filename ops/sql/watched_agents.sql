-- What the watch has to know of the agents that registered on this node's own bus, a page of them behind `after`.
select agent_id, state, state_since, incarnation, heartbeat_interval_seconds
from agents
where origin = $origin and agent_id > $after
order by agent_id
