-- projection: commits   version: 1   key: repository, time, origin, n
-- Every commit: one row each. Its message in full and the paths are in the log; `origin` and `n` say where.
-- why: commit_recorded   by: repository, time, origin, n

create table commits (
    repository varchar,    -- The repository.
    time timestamp,        -- When it was committed.
    commit_id varchar,     -- Its hash.
    author varchar,        -- Who made the change.
    author_email varchar,  -- The author's address.
    summary varchar,       -- The first line of its message.
    parents bigint,        -- How many commits it follows: 0 at the root, 2 or more for a merge.
    files bigint,          -- How many files it changed; NULL where nobody counted, as for merges.
    insertions bigint,     -- How many lines it brought.
    deletions bigint,      -- How many lines it took away.
    origin varchar,        -- The event's place in the log: the origin …
    n ubigint              -- … and the number.
);

-- fold: commit_recorded
insert into commits by name
select
    repository, time, subject as commit_id, author, author_email, split_part(message, chr(10), 1) as summary,
    len(parents) as parents, files, insertions, deletions, origin, n
from commit_recorded;
