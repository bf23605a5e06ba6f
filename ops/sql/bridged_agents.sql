-- Agents of this node's own bus that are no NATS clients and belong to the colony, whether or not they are well.
select agent_id, transport, endpoint, capabilities, name, role, tier, version, description, incarnation, registered_at
from agents
where
    origin = $origin
    and transport in ('rest', 'rpc', 'mcp', 'file', 'a2a')
    and state in ('alive', 'suspect', 'expired')
order by agent_id
