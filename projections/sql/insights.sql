-- projection: insights   version: 1   key: origin, n
-- What agents, or somebody looking on, learnt from the work: one row per insight.
-- why: insight_recorded   by: origin, n

create table insights (
    insight_id varchar,       -- The insight.
    kind varchar,             -- What kind it is.
    text varchar,             -- The insight in words.
    run_id varchar,           -- The run that it comes from.
    agent_id varchar,         -- The agent that it is about.
    skill varchar,            -- The skill that it is about.
    confidence double,        -- How sure the teller is, from 0 to 1.
    tags varchar[],           -- Words to find it by.
    publisher varchar,        -- Who told it.
    time timestamp,           -- When.
    origin varchar,           -- The event's place in the log: the origin …
    n ubigint                 -- … and the number.
);

-- fold: insight_recorded
insert into insights by name
select subject as insight_id, kind, text, run_id, agent_id, skill, confidence, tags, publisher, time, origin, n
from insight_recorded;
