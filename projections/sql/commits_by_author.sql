-- projection: commits_by_author   version: 1   key: repository, author   uses: commits
-- Who changed how much in which repository.
-- why: commit_recorded   by: repository, author

create view commits_by_author as
select
    repository,                          -- The repository.
    author,                              -- The author; NULL where the commits don't say.
    count(*) as commits,                 -- How many commits are theirs, merges included.
    sum(files) as files,                 -- How many files those changed; a file counts each time.
    sum(insertions) as insertions,       -- How many lines they brought.
    sum(deletions) as deletions,         -- How many lines they took away.
    min(time) as first_at,               -- The first commit.
    max(time) as last_at                 -- The last commit.
from commits
group by all;
