-- projection: cost_by_hour   version: 1   key: hour, provider, model, agent_id   uses: llm_calls
-- Calls, tokens and dollars per hour, provider, model and agent: what the other roll-ups of cost are summed from.
-- why: llm_call   by: hour = date_trunc('hour', time), provider, model, agent_id

-- An agent that nobody named is '' here, so that rows can be found again by their key.
create table cost_hours (
    hour timestamp, provider varchar, model varchar, agent_id varchar,
    calls hugeint, failed_calls hugeint, input_tokens hugeint, output_tokens hugeint, uncached_input_tokens hugeint,
    cache_read_tokens hugeint, cache_write_tokens hugeint, answer_tokens hugeint, reasoning_tokens hugeint,
    cost_usd decimal(38, 12), unpriced_calls hugeint
);

create view cost_by_hour as
select
    hour,                                -- The hour, in UTC.
    provider,                            -- Who was asked.
    model,                               -- The model that was asked for.
    nullif(agent_id, '') as agent_id,    -- The agent that asked; NULL where the calls don't say.
    calls,                               -- How many calls.
    failed_calls,                        -- How many of them failed.
    input_tokens,                        -- All of the prompts.
    output_tokens,                       -- All of the answers.
    uncached_input_tokens,               -- The prompts without what came from or went into a cache.
    cache_read_tokens,                   -- What was read from caches.
    cache_write_tokens,                  -- What was written to caches.
    answer_tokens,                       -- The answers without the reasoning.
    reasoning_tokens,                    -- The reasoning.
    if(unpriced_calls < calls, cost_usd, null) as cost_usd, -- What the calls of known price cost; NULL if there are none.
    unpriced_calls                       -- How many calls have no known price: the cost leaves them out.
from cost_hours;

-- fold: llm_spend
merge into cost_hours as known using (
    select
        date_trunc('hour', time) as hour, provider, model, coalesce(agent_id, '') as agent_id,
        sum(columns(* exclude (time, provider, model, run_id, agent_id)))
    from llm_spend
    group by all
) as new using (hour, provider, model, agent_id)
when matched then update set
    calls = known.calls + new.calls,
    failed_calls = known.failed_calls + new.failed_calls,
    input_tokens = known.input_tokens + new.input_tokens,
    output_tokens = known.output_tokens + new.output_tokens,
    uncached_input_tokens = known.uncached_input_tokens + new.uncached_input_tokens,
    cache_read_tokens = known.cache_read_tokens + new.cache_read_tokens,
    cache_write_tokens = known.cache_write_tokens + new.cache_write_tokens,
    answer_tokens = known.answer_tokens + new.answer_tokens,
    reasoning_tokens = known.reasoning_tokens + new.reasoning_tokens,
    cost_usd = known.cost_usd + new.cost_usd,
    unpriced_calls = known.unpriced_calls + new.unpriced_calls
when not matched then insert by name;
