-- What `/metrics` says of the colony: one statement, so that all of it is of one moment.
--
-- Who had a series of their own before ($agents, $models, $tools: what is known already) keeps it; what room is left goes
-- to the most active. All others are summed up as 'other'.
with ranked_agents as (
    select
        coalesce(agent_id, '') as agent_id, * exclude (agent_id),
        row_number() over (order by list_contains($agents::varchar[], coalesce(agent_id, '')) desc, calls desc, agent_id)
            <= $agents_max as shown
    from cost_by_agent
), agent_figures as (
    select
        if(shown, agent_id, 'other') as agent_id, count(*) filter (not shown) as cut,
        sum(columns(* exclude (agent_id, shown, input_tokens, output_tokens)))
    from ranked_agents
    group by if(shown, agent_id, 'other')
), ranked_models as (
    select
        *,
        row_number() over (order by list_contains($models::varchar[][], [provider, model]) desc, calls desc, provider, model)
            <= $models_max as shown
    from cost_by_model
), model_figures as (
    select
        if(shown, provider, 'other') as provider, if(shown, model, 'other') as model,
        count(*) filter (not shown) as cut,
        sum(columns(* exclude (provider, model, shown, input_tokens, output_tokens)))
    from ranked_models
    group by if(shown, provider, 'other'), if(shown, model, 'other')
), tools as (
    select tool, sum(calls) as calls, sum(errors) as errors from tool_use group by all
), ranked_tools as (
    select
        *,
        row_number() over (order by list_contains($tools::varchar[], tool) desc, calls desc, tool) <= $tools_max as shown
    from tools
), tool_figures as (
    select
        if(shown, tool, 'other') as tool, count(*) filter (not shown) as cut, sum(calls) as calls, sum(errors) as errors
    from ranked_tools
    group by if(shown, tool, 'other')
), tokens as (
    select
        coalesce(sum(uncached_input_tokens), 0) as uncached_input_tokens,
        coalesce(sum(cache_read_tokens), 0) as cache_read_tokens,
        coalesce(sum(cache_write_tokens), 0) as cache_write_tokens,
        coalesce(sum(answer_tokens), 0) as answer_tokens,
        coalesce(sum(reasoning_tokens), 0) as reasoning_tokens
    from cost_by_provider
)
select
    (select one from (
        select
            coalesce(sum(events), 0) as events, coalesce(sum(messages), 0) as messages,
            coalesce(sum(llm_calls), 0) as llm_calls, coalesce(sum(llm_errors), 0) as llm_errors,
            coalesce(sum(tool_calls), 0) as tool_calls, coalesce(sum(tool_errors), 0) as tool_errors,
            sum(cost_usd) as cost_usd, coalesce(sum(unpriced_calls), 0) as unpriced_calls
        from fleet_hourly
    ) as one) as totals,
    (select tokens from tokens) as tokens,
    (select coalesce(list(one), []) from (
        select coalesce(state, 'unknown') as name, count(*) as number from agents group by all
    ) as one) as agents,
    (select coalesce(list(one), []) from (select status as name, count(*) as number from runs group by all) as one) as runs,
    (select coalesce(list(one), []) from (
        select status as name, count(*) as number from assignments group by all
    ) as one) as assignments,
    (select coalesce(list(one), []) from agent_figures as one) as by_agent,
    (select coalesce(list(one), []) from model_figures as one) as by_model,
    (select coalesce(list(one), []) from tool_figures as one) as by_tool
