-- What a demo recorded: one statement, so that all of it is of one moment.
--
-- $agents did the work, from $began on; $repository is whose history was imported.
select
    (select count(*) from commits where repository = $repository) as commits,
    (select count(distinct author) from commits where repository = $repository) as authors,
    (select count(*) from runs where list_contains($agents::varchar[], agent_id) and started_at >= $began::timestamp) as runs,
    (select count(*) from tool_calls where list_contains($agents::varchar[], agent_id) and time >= $began::timestamp) as tool_calls,
    coalesce((
        select list({agent_id: agent_id, text: text} order by time)
        from insights where list_contains($agents::varchar[], agent_id) and time >= $began::timestamp
    ), []) as insights;
