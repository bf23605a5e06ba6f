-- projection: messages   version: 1   key: run_id, step, origin, n
-- What was said in each run: one row per message.
-- why: message_recorded   by: run_id, step, origin, n

create table messages (
    run_id varchar,         -- The run.
    step bigint,            -- Its turn in the conversation, counted from 0.
    message_id varchar,     -- The message.
    role varchar,           -- Whose turn it was: system, user, assistant or tool.
    agent_id varchar,       -- The agent that spoke.
    tool_call_id varchar,   -- The tool call that a tool's message answers.
    content varchar,        -- What was said.
    content_chars bigint,   -- How many characters that is.
    time timestamp,         -- When.
    origin varchar,         -- The event's place in the log: the origin …
    n ubigint               -- … and the number.
);

-- fold: message_recorded
insert into messages by name
select
    run_id, step, subject as message_id, role, agent_id, tool_call_id, content, length(content) as content_chars, time,
    origin, n
from message_recorded;
