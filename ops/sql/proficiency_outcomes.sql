-- The outcomes behind a place in their order, and what tells whether those up to it are still the same.
--
-- The place is that of an outcome: $moment in microseconds since 1970, $work, $agent_id and $skill. There is always a first
-- row, also where nothing is behind the place.
with marked as (
    select *, epoch_us(time) as moment, (hash(work, agent_id, skill, task_id, score, time) >> 1)::bigint as mark
    from proficiency_outcomes
), settled as (
    select count(*) as settled, coalesce(bit_xor(mark), 0) as settled_mark
    from marked
    where (moment, work, agent_id, skill) <= ($moment::bigint, $work, $agent_id, $skill)
)
select settled, settled_mark, moment, work, agent_id, skill, task_id, score, mark
from settled
left join (from marked where (moment, work, agent_id, skill) > ($moment::bigint, $work, $agent_id, $skill)) on true
order by moment, work, agent_id, skill
