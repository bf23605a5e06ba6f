-- projection: tool_calls   version: 1   key: run_id, step, origin, n
-- Every tool call: one row each. Arguments and output are in the log; `origin` and `n` say where.
-- why: tool_call_completed   by: run_id, step, origin, n

create table tool_calls (
    run_id varchar,           -- The run that it was made in.
    step bigint,              -- At which step of the run.
    call_id varchar,          -- The call.
    tool varchar,             -- The tool.
    agent_id varchar,         -- The agent that called it.
    outcome varchar,          -- ok, error, timed_out or denied; NULL where nobody recorded it.
    duration_seconds double,  -- How long it took.
    error varchar,            -- What went wrong.
    time timestamp,           -- When it ended.
    origin varchar,           -- The event's place in the log: the origin …
    n ubigint                 -- … and the number.
);

-- fold: tool_call_completed
insert into tool_calls by name
select run_id, step, subject as call_id, tool, agent_id, outcome, duration_seconds, error, time, origin, n
from tool_call_completed;
