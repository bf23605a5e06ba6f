-- projection: agent_stats   version: 3   key: agent_id   uses: cost_by_agent
-- What came of each agent's work: what it has begun, how that ended, how long it took, and what it cost.
--
-- Work that went from one agent to another counts for both: as given back for the one, and by its end for the other.
-- why: agent_task   by: agent_id
-- why: cost_by_agent   by: agent_id   where: agent_id is not null

create table agent_task_starts (
    agent_id varchar, assignment_id varchar, times hugeint, started_at timestamp,
    happened struct(time timestamp, origin varchar, n ubigint)
);
create table agent_task_releases (
    agent_id varchar, assignment_id varchar, times hugeint, happened struct(time timestamp, origin varchar, n ubigint)
);
create table agent_task_ends (
    agent_id varchar, assignment_id varchar, status varchar, score decimal(18, 9), duration_seconds decimal(18, 6),
    ended_at timestamp, told struct(recorded_time timestamp, origin varchar, n ubigint)
);

create view agent_stats as
with tasks as (
    select
        agent_id, assignment_id, ended.status, ended.score, started.started_at, ended.ended_at,
        coalesce(started.times, 0) as begun,
        coalesce(released.times, 0) as released,
        ended.status is null and started.happened is not null
            and (released.happened is null or started.happened > released.happened) as is_running,
        coalesce(
            ended.duration_seconds,
            if(
                ended.ended_at >= started.started_at,
                (date_diff('microsecond', started.started_at, ended.ended_at) / 1e6)::decimal(18, 6),
                null
            )
        ) as seconds
    from agent_task_starts as started
    full join agent_task_releases as released using (agent_id, assignment_id)
    full join agent_task_ends as ended using (agent_id, assignment_id)
), work as (  -- no avg: a sum of doubles depends on the order of rows
    select
        agent_id,
        sum(begun)::bigint as begun,
        count_if(is_running) as running,
        count_if(status = 'completed') as completed,
        count_if(status = 'failed') as failed,
        count_if(status = 'timed_out') as timed_out,
        count_if(status = 'cancelled') as cancelled,
        sum(released)::bigint as released,
        sum(score)::double / count(score) as mean_score,
        sum(seconds)::double / count(seconds) as mean_seconds,
        quantile_cont(seconds::double, 0.5) as median_seconds,
        quantile_cont(seconds::double, 0.95) as p95_seconds,
        max(started_at) as last_started_at,
        max(ended_at) as last_ended_at
    from tasks
    group by agent_id
), everybody as (  -- no full join: DuckDB 2.0 finds nothing where it is asked for an agent and a column
    select agent_id from work
    union
    select agent_id from cost_by_agent where agent_id is not null
)
select
    agent_id,                                             -- The agent.
    coalesce(begun, 0) as begun,                          -- How often it took an assignment up.
    coalesce(running, 0) as running,                      -- How many it has in hand: begun, and neither ended nor given back.
    coalesce(completed, 0) as completed,                  -- Assignments that it has done.
    coalesce(failed, 0) as failed,                        -- Those that it gave up.
    coalesce(timed_out, 0) as timed_out,                  -- Those that it did not do in time.
    coalesce(cancelled, 0) as cancelled,                  -- Those that were called off while it had them.
    coalesce(released, 0) as released,                    -- How often it gave one back, or died over it.
    completed / nullif(completed + failed + timed_out, 0) as success_rate, -- The share done of those that it ended.
    mean_score,                                           -- How well they were done, where somebody judged it.
    mean_seconds,                                         -- How long they took, from start to end: the mean.
    median_seconds,                                       -- Half took no longer than this.
    p95_seconds,                                          -- 95 % took no longer than this.
    coalesce(cost.calls, 0) as llm_calls,                 -- How many models it called.
    coalesce(cost.input_tokens, 0) as input_tokens,       -- All of the prompts.
    coalesce(cost.output_tokens, 0) as output_tokens,     -- All of the answers.
    cost.cost_usd,                                        -- What the calls of known price cost.
    coalesce(cost.unpriced_calls, 0) as unpriced_calls,   -- How many calls have no known price.
    last_started_at,                                      -- When it last took something up.
    last_ended_at                                         -- When it last ended something.
from everybody
left join work using (agent_id)
left join cost_by_agent as cost using (agent_id);

-- relation: agent_task   of: assignment_started, assignment_released, assignment_completed, assignment_failed, assignment_timed_out, assignment_cancelled
select
    origin, n, agent_id, subject as assignment_id, split_part(type, '.', 2) as fact, score, duration_seconds, time, happened,
    struct_pack(recorded_time := recorded_time, origin := origin, n := n) as told
from events
where agent_id is not null and type in (
    'assignment.started', 'assignment.released', 'assignment.completed', 'assignment.failed', 'assignment.timed_out',
    'assignment.cancelled'
);

-- fold: agent_task
merge into agent_task_starts as known using (
    select agent_id, assignment_id, count(*) as times, max(happened).time as started_at, max(happened) as happened
    from agent_task
    where fact = 'started'
    group by all
) as new using (agent_id, assignment_id)
when matched then update set
    times = known.times + new.times,
    started_at = greatest(known.happened, new.happened).time,
    happened = greatest(known.happened, new.happened)
when not matched then insert by name;

-- fold: agent_task
merge into agent_task_releases as known using (
    select agent_id, assignment_id, count(*) as times, max(happened) as happened
    from agent_task
    where fact = 'released'
    group by all
) as new using (agent_id, assignment_id)
when matched then update set
    times = known.times + new.times,
    happened = greatest(known.happened, new.happened)
when not matched then insert by name;

-- fold: agent_task
merge into agent_task_ends as known using (
    select agent_id, assignment_id, fact as status, score, duration_seconds, time as ended_at, told
    from agent_task
    where fact not in ('started', 'released')
    qualify row_number() over (partition by agent_id, assignment_id order by told) = 1
) as new using (agent_id, assignment_id)
when matched and new.told < known.told then update by name
when not matched then insert by name;
