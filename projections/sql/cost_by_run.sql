-- projection: cost_by_run   version: 1   key: run_id   uses: llm_calls
-- Calls, tokens and dollars per run.
-- why: llm_call   by: run_id   where: run_id is not null

create table run_costs (
    run_id varchar,
    calls hugeint, failed_calls hugeint, input_tokens hugeint, output_tokens hugeint, uncached_input_tokens hugeint,
    cache_read_tokens hugeint, cache_write_tokens hugeint, answer_tokens hugeint, reasoning_tokens hugeint,
    cost_usd decimal(38, 12), unpriced_calls hugeint
);

create view cost_by_run as
select
    run_id,                              -- The run that the calls were made in.
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
from run_costs;

-- fold: llm_spend
merge into run_costs as known using (
    select run_id, sum(columns(* exclude (time, provider, model, run_id, agent_id)))
    from llm_spend
    where run_id is not null
    group by run_id
) as new using (run_id)
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
