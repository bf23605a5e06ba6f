-- The skills that each agent is meant to have: those that it says it has, and those that it has shown.
with known as (
    select agent_id, unnest(capabilities) as skill from agents
    union
    select agent_id, skill from proficiency
)
select agent_id, list(skill order by skill) as skills
from known
left join agents using (agent_id)
where coalesce(state, 'alive') not in ('expired', 'evicted', 'unregistered')
    and ($agent_id is null or agent_id = $agent_id) and ($skill is null or skill = $skill)
group by agent_id
order by agent_id
