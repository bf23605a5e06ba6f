-- projection: skill_hourly   version: 1   key: hour, skill   uses: work_by_hour
-- Each skill hour by hour: the work that named it, and how well it went. Calls of models and tools name none.
-- why: work_by_hour   by: hour, skill   where: skill is not null

create view skill_hourly as
select
    hour,                                -- The hour, in UTC.
    skill,                               -- The skill.
    sum(columns(* exclude (hour, agent_id, skill, messages, tool_calls, tool_errors)))
from work_by_hour
where skill is not null
group by all;
