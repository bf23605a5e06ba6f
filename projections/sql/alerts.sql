-- projection: alerts   version: 1   key: alert_id
-- What somebody should look at: each alert, when it was first and last raised, and over what.
-- why: alert_raised   by: alert_id = subject

create table alert_counts (alert_id varchar, times hugeint, first_raised_at timestamp);
create table alert_latest (
    alert_id varchar, kind varchar, severity varchar, text varchar, entity varchar, agent_id varchar, cause varchar,
    last_raised_at timestamp, happened struct(time timestamp, origin varchar, n ubigint)
);

create view alerts as
select
    alert_id,           -- The alert.
    kind,               -- run_failed, dead_letter or reaction_parked.
    severity,           -- warning or critical.
    text,               -- What happened, the last time.
    entity,             -- What it happened to, kind and id.
    agent_id,           -- Whose run it was.
    cause,              -- The event that raised it last, by its address.
    first_raised_at,    -- When it was raised first.
    last_raised_at,     -- When it was raised last.
    times               -- How often it was raised.
from alert_latest
join alert_counts using (alert_id);

-- fold: alert_raised
merge into alert_counts as known using (
    select subject as alert_id, count(*) as times, min(time) as first_raised_at from alert_raised group by subject
) as new using (alert_id)
when matched then update set
    times = known.times + new.times,
    first_raised_at = least(known.first_raised_at, new.first_raised_at)
when not matched then insert by name;

-- fold: alert_raised
merge into alert_latest as known using (
    select distinct on (subject)
        subject as alert_id, kind, severity, text, entity, agent_id, cause, time as last_raised_at, happened
    from alert_raised
    order by happened desc
) as new using (alert_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;
