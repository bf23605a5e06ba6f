-- projection: reactions   version: 1   key: reaction_id
-- What became of each reaction to an event: done, tried again, parked, re-driven or discarded.
-- why: reaction_completed, reaction_failed, reaction_parked   by: reaction_id = subject
-- why: reaction_redriven, reaction_discarded   by: reaction_id = subject

create table reaction_standings (
    reaction_id varchar, status varchar, reaction varchar, entity varchar, cause varchar, reason varchar,
    since timestamp, happened struct(time timestamp, origin varchar, n ubigint)
);
create table reaction_failures (
    reaction_id varchar, attempts bigint, error varchar, failed_at timestamp,
    happened struct(time timestamp, origin varchar, n ubigint)
);

create view reactions as
select
    reaction_id,           -- The reaction to one event.
    status,                -- completed, failed (it is tried again), parked, redriven or discarded.
    reaction,              -- Which reaction it is.
    entity,                -- What the event is about, kind and id: its later events wait while it is parked.
    cause,                 -- The event, by its address.
    since,                 -- Since when it stands so.
    attempts,              -- How often it had been tried when it last failed.
    error,                 -- How it last failed.
    failed_at,             -- When it last failed.
    reason                 -- Why it was discarded or re-driven, in the words of who did it.
from reaction_standings
left join reaction_failures using (reaction_id);

-- relation: reaction_moved   of: reaction_completed, reaction_failed, reaction_parked, reaction_redriven, reaction_discarded
select
    subject as reaction_id, split_part(type, '.', 2) as status, reaction, entity, cause, reason, time as since, happened
from events
where type in ('reaction.completed', 'reaction.failed', 'reaction.parked', 'reaction.redriven', 'reaction.discarded');

-- fold: reaction_moved
merge into reaction_standings as known using (
    select distinct on (reaction_id) * from reaction_moved order by happened desc
) as new using (reaction_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;

-- relation: reaction_failure   of: reaction_failed, reaction_parked
select subject as reaction_id, attempts, error, time as failed_at, happened
from events
where type in ('reaction.failed', 'reaction.parked');

-- fold: reaction_failure
merge into reaction_failures as known using (
    select distinct on (reaction_id) * from reaction_failure order by happened desc
) as new using (reaction_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;
