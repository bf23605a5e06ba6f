-- Agents by what they are called, what they can do, what they are for, how they are, and whom they answer to.
--
-- $name and $capability are patterns of `like`, with a backslash before what is meant as it is.
select
    * exclude (state, capabilities),
    coalesce(state, 'unknown') as state,
    coalesce(capabilities, []) as capabilities
from agents
where agent_id > $after
    and ($agent_id::varchar is null or agent_id = $agent_id)
    and ($name::varchar is null or agent_id ilike $name escape '\' or name ilike $name escape '\')
    and ($capability::varchar is null or len(list_filter(capabilities, lambda one: one like $capability escape '\')) > 0)
    and ($role::varchar is null or role = $role)
    and ($tier::varchar is null or tier = $tier)
    and ($parent::varchar is null or parent_agent_id = $parent)
    and ($states::varchar[] is null or list_contains($states::varchar[], coalesce(state, 'unknown')))
order by agent_id
