-- What the agents that are alive can do, those that most can first.
select skill
from (select unnest(capabilities) as skill from agents where state = 'alive')
group by skill
order by count(*) desc, skill
