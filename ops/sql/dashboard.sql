-- What the charts of the dashboard show: one statement, so that all of it is of one moment.
--
-- What there is no room for is summed up as 'other'; `cut` is how many those are.
with hours as (
    select
        strftime(hour, '%Y-%m-%dT%H:%M:%SZ') as hour, coalesce(events, 0) as events, coalesce(input_tokens, 0) as input_tokens,
        coalesce(output_tokens, 0) as output_tokens, if(coalesce(llm_calls, 0) = 0, 0, cost_usd) as cost_usd
    from (
        select unnest(generate_series($hour::timestamp - to_hours($hours::int - 1), $hour::timestamp, interval 1 hour)) as hour
    )
    left join fleet_hourly using (hour)
), top_agents as (
    select agent_id, sum(outcomes) as outcomes
    from proficiency
    group by agent_id
    order by outcomes desc, agent_id
    limit $agents
), top_skills as (
    select skill
    from proficiency
    where agent_id in (select agent_id from top_agents)
    group by skill
    order by sum(outcomes) desc, skill
    limit $skills
), model_bars as (
    select if(place <= $bars, name, 'other') as name, sum(cost_usd) as cost_usd, count(*) filter (place > $bars) as cut
    from (
        select
            concat(provider, '/', model) as name, cost_usd,
            row_number() over (order by cost_usd desc nulls last, calls desc, provider, model) as place
        from cost_by_model
    )
    group by if(place <= $bars, name, 'other')
), agent_bars as (
    select if(place <= $bars, name, 'other') as name, sum(cost_usd) as cost_usd, count(*) filter (place > $bars) as cut
    from (
        select
            coalesce(agent_id, 'unknown') as name, cost_usd,
            row_number() over (order by cost_usd desc nulls last, calls desc, agent_id) as place
        from cost_by_agent
    )
    group by if(place <= $bars, name, 'other')
), provider_slices as (
    select if(place <= $slices, provider, 'other') as name, sum(calls) as number, count(*) filter (place > $slices) as cut
    from (
        select provider, calls, row_number() over (order by calls desc, provider) as place
        from cost_by_provider
    )
    group by if(place <= $slices, provider, 'other')
)
select
    (select coalesce(list(agent_id order by outcomes desc, agent_id), []) from top_agents) as agents,
    (select coalesce(list(skill order by skill), []) from top_skills) as skills,
    (select coalesce(list(one), []) from (
        select agent_id, skill
        from proficiency
        where agent_id in (select agent_id from top_agents) and skill in (from top_skills)
    ) as one) as rated,
    (select list(one order by hour) from hours as one) as hours,
    (select coalesce(list(one order by cut, cost_usd desc nulls last, name), []) from model_bars as one) as cost_by_model,
    (select coalesce(list(one order by cut, cost_usd desc nulls last, name), []) from agent_bars as one) as cost_by_agent,
    (select coalesce(list(one order by cut, number desc, name), []) from provider_slices as one) as calls_by_provider,
    (select coalesce(list(one order by number desc, name), []) from (
        select status as name, count(*) as number, 0 as cut from runs group by status
    ) as one) as runs_by_status
