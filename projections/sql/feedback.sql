-- projection: feedback   version: 1   key: origin, n
-- What people, and judges in their stead, thought of the work: one row per judgement.
-- why: feedback_given   by: origin, n

create table feedback (
    feedback_id varchar,      -- The judgement.
    kind varchar,             -- thumb, score, pairwise, edit or comment.
    run_id varchar,           -- The run that is judged.
    agent_id varchar,         -- The agent that is judged.
    skill varchar,            -- The skill that is judged.
    score double,             -- From 0, worst, to 1, best.
    comment varchar,          -- In words.
    given_by varchar,         -- Whose judgement it is.
    time timestamp,           -- When it was given.
    origin varchar,           -- The event's place in the log: the origin …
    n ubigint                 -- … and the number.
);

-- fold: feedback_given
insert into feedback by name
select
    subject as feedback_id, kind, run_id, agent_id, skill, score, comment, coalesce(given_by, publisher) as given_by,
    time, origin, n
from feedback_given;
