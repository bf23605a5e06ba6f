-- How the work of a fleet stands: one statement, so that all of it is of one moment.
--
-- $assignments are the tasks that were given, $agents who may do them, $began is when the first of them was given.
select
    (select count(*) from assignments where list_contains($assignments::varchar[], assignment_id)
        and status in ('completed', 'failed', 'timed_out', 'cancelled')) as over,
    (select count(*) from assignments where list_contains($assignments::varchar[], assignment_id)
        and status = 'completed') as completed,
    (select count(*) from agents where list_contains($agents::varchar[], agent_id) and state = 'alive'
        and registered_at >= $began::timestamp) as alive,
    coalesce((
        select map_from_entries(list((agent_id, state) order by agent_id))
        from agents where list_contains($agents::varchar[], agent_id)
    ), map {}) as states,
    coalesce((
        select list({agent_id: agent_id, assignment_id: assignment_id} order by assignment_id)
        from assignments where list_contains($assignments::varchar[], assignment_id) and status = 'running'
    ), []) as in_hand,
    coalesce((
        select list({agent_id: agent_id, tasks: tasks, capability: kind} order by agent_id, kind)
        from (
            select agent_id, kind, count(*) as tasks
            from assignments where list_contains($assignments::varchar[], assignment_id) and status = 'completed'
            group by all
        )
    ), []) as work;
