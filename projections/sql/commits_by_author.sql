-- projection: commits_by_author   version: 2   key: repository, author   uses: commits
-- Who changed how much in which repository.
-- why: commit_recorded   by: repository, author = if(author like 'sealed:1:%', split_part(author, ':', 3), author)

-- A sealed name is another text each time, and a person's pseudonym always the same.
create view commits_by_author as
select
    repository,                          -- The repository.
    if(author like 'sealed:1:%', split_part(author, ':', 3), author) as author, -- The author, or the pseudonym of one whose name is sealed; NULL where the commits don't say.
    count(*) as commits,                 -- How many commits are theirs, merges included.
    sum(files) as files,                 -- How many files those changed; a file counts each time.
    sum(insertions) as insertions,       -- How many lines they brought.
    sum(deletions) as deletions,         -- How many lines they took away.
    min(time) as first_at,               -- The first commit.
    max(time) as last_at                 -- The last commit.
from commits
group by all;
