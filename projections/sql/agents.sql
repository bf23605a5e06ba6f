-- projection: agents   version: 6   key: agent_id
-- Who is in the colony, or meant to be: each agent's latest registration, its state, and its last sign of life.
-- why: agent_registered, agent_updated, agent_declared, agent_state_changed, agent_unregistered, agent_heartbeat_sent   by: agent_id = subject

create table agent_particulars (
    agent_id varchar, name varchar, role varchar, tier varchar, parent_agent_id varchar, capabilities varchar[],
    transport varchar, endpoint varchar, version varchar, heartbeat_interval_seconds decimal(18, 6),
    description varchar, assignments_max bigint, metadata json, happened struct(time timestamp, origin varchar, n ubigint)
);
create table agent_declarations (
    agent_id varchar, name varchar, role varchar, tier varchar, parent_agent_id varchar, capabilities varchar[],
    transport varchar, endpoint varchar, version varchar, heartbeat_interval_seconds decimal(18, 6),
    description varchar, assignments_max bigint, metadata json, catalogue varchar, happened struct(time timestamp, origin varchar, n ubigint)
);
create table agent_registrations (
    agent_id varchar, incarnation bigint, registered_at timestamp,
    happened struct(time timestamp, origin varchar, n ubigint)
);
create table agent_states (
    agent_id varchar, state varchar, happened struct(time timestamp, origin varchar, n ubigint)
);
create table agent_departures (agent_id varchar, happened struct(time timestamp, origin varchar, n ubigint));
create table agent_sightings (
    agent_id varchar, last_seen_at timestamp, active_assignments bigint,
    happened struct(time timestamp, origin varchar, n ubigint)
);

-- Who was declared since it left is meant to be there again, and what it said before that is over.
create view agents as
with standing as (
    select
        agent_id, agent_states.state, agent_states.happened, declared.happened as declared,
        declared.happened is not null and (
            agent_states.state is null
            or (agent_states.state in ('evicted', 'unregistered') and declared.happened > agent_states.happened)
        ) as is_declared
    from agent_states
    full join agent_declarations as declared using (agent_id)
), over as (
    select distinct said.agent_id
    from agent_particulars as said
    join agent_departures as gone on gone.agent_id = said.agent_id and gone.happened > said.happened
    join agent_declarations as declared on declared.agent_id = said.agent_id and declared.happened > gone.happened
), latest as (
    from agent_particulars anti join over using (agent_id)
), described as (
    select * exclude (happened) from latest
    union all by name
    select * exclude (happened, catalogue) from agent_declarations anti join latest using (agent_id)
)
select
    agent_id,                                                -- The agent.
    name,                                                    -- What it calls itself.
    role,                                                    -- What it is for.
    description,                                             -- What it does, in a sentence or two.
    tier,                                                    -- coordinator, system or execution.
    parent_agent_id,                                         -- The agent that it answers to.
    capabilities,                                            -- The skills that it says it has.
    transport,                                               -- How work is handed to it.
    endpoint,                                                -- Where.
    version,                                                 -- Of its program.
    if(is_declared, 'declared', standing.state) as state,    -- declared, alive, suspect, expired, evicted or unregistered.
    if(is_declared, declared, standing.happened).time as state_since, -- Since when.
    agent_registrations.happened.origin as origin,           -- The bus that it registered on.
    incarnation,                                             -- Which of its lives this is, where its registration says.
    heartbeat_interval_seconds::double as heartbeat_interval_seconds, -- How often it means to give a sign of life.
    registered_at,                                           -- When it last registered.
    last_seen_at,                                            -- Its last registration or heartbeat.
    active_assignments,                                      -- What it was busy with at its last heartbeat.
    assignments_max,                                         -- How many assignments it is given at once, where it says so.
    metadata,                                                -- What else it says of itself.
    catalogue                                                -- The catalogue that says that it is meant to be there.
from described
full join agent_registrations using (agent_id)
full join standing using (agent_id)
full join agent_sightings using (agent_id)
left join (select agent_id, catalogue from agent_declarations) using (agent_id);

-- fold: agent_declared
merge into agent_declarations as known using (
    select
        subject as agent_id, name, role, tier, parent_agent_id, capabilities, transport, endpoint, version,
        heartbeat_interval_seconds, description, assignments_max, metadata, catalogue, happened
    from agent_declared
    qualify row_number() over (partition by subject order by happened desc) = 1
) as new using (agent_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;

-- relation: agent_particular   of: agent_registered, agent_updated
select
    subject as agent_id, name, role, tier, parent_agent_id, capabilities, transport, endpoint, version,
    heartbeat_interval_seconds, description, assignments_max, metadata, happened
from events
where type in ('agent.registered', 'agent.updated');

-- fold: agent_particular
merge into agent_particulars as known using (
    from agent_particular
    qualify row_number() over (partition by agent_id order by happened desc) = 1
) as new using (agent_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;

-- fold: agent_registered
merge into agent_registrations as known using (
    select subject as agent_id, incarnation, time as registered_at, happened
    from agent_registered
    qualify row_number() over (partition by subject order by happened desc) = 1
) as new using (agent_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;

-- relation: agent_state   of: agent_registered, agent_state_changed, agent_unregistered
select
    subject as agent_id,
    case type when 'agent.registered' then 'alive' when 'agent.unregistered' then 'unregistered' else state end as state,
    happened
from events
where type in ('agent.registered', 'agent.state_changed', 'agent.unregistered');

-- fold: agent_state
merge into agent_states as known using (
    from agent_state
    qualify row_number() over (partition by agent_id order by happened desc) = 1
) as new using (agent_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;

-- relation: agent_departure   of: agent_unregistered, agent_state_changed
select subject as agent_id, happened
from events
where type = 'agent.unregistered' or (type = 'agent.state_changed' and state = 'evicted');

-- fold: agent_departure
insert into agent_departures from agent_departure;

-- relation: agent_sighting   of: agent_registered, agent_heartbeat_sent
select subject as agent_id, time as last_seen_at, active_assignments, happened
from events
where type in ('agent.registered', 'agent.heartbeat_sent');

-- fold: agent_sighting
merge into agent_sightings as known using (
    from agent_sighting
    qualify row_number() over (partition by agent_id order by happened desc) = 1
) as new using (agent_id)
when matched and new.happened > known.happened then update by name
when not matched then insert by name;
