-- projection: failure_attributions   version: 1   key: origin, n
-- Whose mistake decided a failed run, as somebody found: one row per finding.
-- why: run_failure_attributed   by: origin, n

create table failure_attributions (
    run_id varchar,          -- The run that failed.
    agent_id varchar,        -- Who made the decisive mistake.
    step bigint,             -- At which step of the run, counted from 0.
    reason varchar,          -- What the mistake was.
    attributed_by varchar,   -- Who found it.
    time timestamp,          -- When it was found.
    origin varchar,          -- The event's place in the log: the origin …
    n ubigint                -- … and the number.
);

-- fold: run_failure_attributed
insert into failure_attributions by name
select subject as run_id, agent_id, step, reason, attributed_by, time, origin, n from run_failure_attributed;
