-- projection: forgotten   version: 1   key: origin, n
-- Whose data nobody can read any more: the receipts of nodes that destroyed their keys, a person under a pseudonym.
-- why: datasubject_forgotten   by: origin, n   where: source = '/nodes/' || origin

create table forgotten (
    datasubject varchar,      -- The pseudonym of the person, as it stands in the events.
    node varchar,             -- Which node destroyed its key.
    sealed_events bigint,     -- How many events of the log hold what was sealed with it.
    uncounted_events bigint,  -- How many events that node did not look into, because its archive alone has them.
    events_by_origin json,    -- How many of the events each origin has.
    up_to json,               -- How far each origin went when they were counted.
    rows_by_read_model json,  -- How many rows of each read model hold some of it; NULL where that was not known.
    places varchar[],         -- Where the sealed texts are still, readable by nobody.
    time timestamp,           -- When the key was destroyed.
    origin varchar,           -- The event's place in the log: the origin …
    n ubigint                 -- … and the number.
);

-- Only a node can speak of its own keys: what anybody else says here is in the log, and counts for nothing.
-- fold: datasubject_forgotten
insert into forgotten by name
select
    subject as datasubject, publisher as node, sealed_events, uncounted_events, events_by_origin, up_to,
    rows_by_read_model, places, time, origin, n
from datasubject_forgotten
where source = '/nodes/' || origin;
