-- How many of $assignments, given from $began on, have exactly one end in the log.
select count(*) as ended_once
from (
    select subject
    from events
    where type in ('assignment.completed', 'assignment.failed', 'assignment.timed_out', 'assignment.cancelled')
        and time >= $began::timestamp and list_contains($assignments::varchar[], subject)
    group by subject
    having count(*) = 1
);
