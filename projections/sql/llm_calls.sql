-- projection: llm_calls   version: 1   key: origin, n
-- The ledger: one row per model call. Its five buckets of tokens are disjoint; an unknown cost is NULL, not zero.
-- why: llm_call   by: origin, n

create table llm_calls (
    call_id varchar,                     -- The call.
    time timestamp,                      -- When it ended.
    status varchar,                      -- completed or failed.
    provider varchar,                    -- Who was asked, as in openai.
    model varchar,                       -- The model that was asked for.
    response_model varchar,              -- The model that answered.
    operation varchar,                   -- chat, text_completion, embeddings, …
    run_id varchar,                      -- The run that it was made in.
    agent_id varchar,                    -- The agent that made it.
    input_tokens bigint,                 -- All of the prompt.
    output_tokens bigint,                -- All of the answer.
    uncached_input_tokens bigint,        -- The prompt without what came from or went into the cache.
    cache_read_tokens bigint,            -- The part of the prompt that was read from the cache.
    cache_write_tokens bigint,           -- The part of the prompt that was written to the cache.
    answer_tokens bigint,                -- The answer without the reasoning.
    reasoning_tokens bigint,             -- The part of the answer that is reasoning.
    usage_source varchar,                -- Who counted the tokens: provider, estimated or unknown.
    cost_usd decimal(38, 12),            -- What it cost; NULL where the price is unknown.
    price_version varchar,               -- The price list that the cost was taken from.
    duration_seconds double,             -- How long it took.
    time_to_first_token_seconds double,  -- How long until the answer began.
    finish_reason varchar,               -- Why the model stopped.
    error varchar,                       -- What went wrong.
    origin varchar,                      -- The event's place in the log: the origin …
    n ubigint                            -- … and the number.
);

-- relation: llm_call   of: llm_call_completed, llm_call_failed
select
    subject as call_id, time, split_part(type, '.', 2) as status, provider, request_model as model, response_model,
    operation, run_id, agent_id, input_tokens, output_tokens,
    if(input_tokens is null, null, greatest(
        input_tokens::hugeint - coalesce(cache_read_input_tokens, 0) - coalesce(cache_creation_input_tokens, 0), 0
    ))::bigint as uncached_input_tokens,
    cache_read_input_tokens as cache_read_tokens,
    cache_creation_input_tokens as cache_write_tokens,
    if(output_tokens is null, null, greatest(output_tokens - coalesce(reasoning_output_tokens, 0), 0)) as answer_tokens,
    reasoning_output_tokens as reasoning_tokens,
    usage_source, cost_usd, price_version, duration_seconds, time_to_first_token_seconds, finish_reason, error, origin, n
from events
where type in ('llm_call.completed', 'llm_call.failed');

-- fold: llm_call
insert into llm_calls by name from llm_call;

-- relation: llm_spend   of: llm_call_completed, llm_call_failed
select
    time, provider, model, run_id, agent_id,
    1 as calls,
    (status = 'failed')::int as failed_calls,
    coalesce(input_tokens, 0) as input_tokens,
    coalesce(output_tokens, 0) as output_tokens,
    coalesce(uncached_input_tokens, 0) as uncached_input_tokens,
    coalesce(cache_read_tokens, 0) as cache_read_tokens,
    coalesce(cache_write_tokens, 0) as cache_write_tokens,
    coalesce(answer_tokens, 0) as answer_tokens,
    coalesce(reasoning_tokens, 0) as reasoning_tokens,
    coalesce(cost_usd, 0) as cost_usd,
    (cost_usd is null)::int as unpriced_calls
from llm_call;
