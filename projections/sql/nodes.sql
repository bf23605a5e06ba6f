-- projection: nodes   version: 2   key: node
-- The Rookery processes themselves: when each last started and stopped.
-- why: node_started, node_stopped   by: node = subject

create table node_starts (
    node varchar, version varchar, host varchar, started_at timestamp,
    happened struct(time timestamp, origin varchar, n ubigint)
);
create table node_stops (
    node varchar, reason varchar, stopped_at timestamp, happened struct(time timestamp, origin varchar, n ubigint)
);

create view nodes as
select
    node,                                -- The node.
    if(coalesce(node_stops.happened > node_starts.happened, node_starts.node is null), 'stopped', 'started') as status, -- started, until it stops in good order.
    version,                             -- Of Rookery.
    host,                                -- The machine that it runs on.
    started_at,                          -- When it last started.
    stopped_at,                          -- When it last stopped in good order.
    reason                               -- Why it did.
from node_starts
full join node_stops using (node);

-- fold: node_started
merge into node_starts as known using (
    select subject as node, version, host, time as started_at, happened
    from node_started
    qualify row_number() over (partition by subject order by happened desc) = 1
) as new using (node)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;

-- fold: node_stopped
merge into node_stops as known using (
    select subject as node, reason, time as stopped_at, happened
    from node_stopped
    qualify row_number() over (partition by subject order by happened desc) = 1
) as new using (node)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;
