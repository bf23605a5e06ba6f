-- What was observed of agents at skills: of $agent_id and at $skill, or of all.
from proficiency
where ($agent_id is null or agent_id = $agent_id) and ($skill is null or skill = $skill)
order by agent_id, skill
