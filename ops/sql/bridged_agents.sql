-- Agents that are no NATS clients and are meant to be at work on this node's own bus, whether or not they are well.
select
    agent_id, name, role, tier, parent_agent_id, capabilities, transport, endpoint, version, heartbeat_interval_seconds,
    description, assignments_max, metadata
from agents
where
    coalesce(origin, $origin) = $origin
    and transport in ('rest', 'rpc', 'mcp', 'file', 'a2a')
    and state in ('declared', 'alive', 'suspect', 'expired')
order by agent_id
