-- The summary of the colony: one statement, so that all of it is of one moment.
--
-- $hour and $day hold the present moment. The timelines end with them. They are not over, so trends compare the $hours
-- hours and the $days days before them with as many before those. What no call has cost is 0; what calls cost whose
-- prices nobody knows is NULL.
with hours as (
    select hour, coalesce(columns(* exclude (hour, cost_usd)), 0), if(coalesce(llm_calls, 0) = 0, 0, cost_usd) as cost_usd
    from (
        select unnest(generate_series($hour::timestamp - to_hours($hours::int - 1), $hour::timestamp, interval 1 hour)) as hour
    )
    left join fleet_hourly using (hour)
), days as (
    select day, coalesce(columns(* exclude (day, cost_usd)), 0), if(coalesce(llm_calls, 0) = 0, 0, cost_usd) as cost_usd
    from (
        select unnest(generate_series($day::date - to_days($days::int - 1), $day::date, interval 1 day))::date as day
    )
    left join fleet_daily using (day)
), hourly_periods as (
    select hour >= $hour::timestamp - to_hours($hours::int) as recent, * exclude (hour, active_agents)
    from fleet_hourly
    where hour >= $hour::timestamp - to_hours(2 * $hours::int) and hour < $hour::timestamp
), daily_periods as (
    select day >= $day::date - to_days($days::int) as recent, * exclude (day, active_agents)
    from fleet_daily
    where day >= $day::date - to_days(2 * $days::int) and day < $day::date
), hourly_sums as (
    select
        recent, coalesce(sum(columns(* exclude (recent, cost_usd))), 0),
        if(coalesce(sum(llm_calls), 0) = 0, 0, sum(cost_usd)) as cost_usd
    from (from hourly_periods right join (values (true), (false)) as period(recent) using (recent))
    group by recent
), daily_sums as (
    select
        recent, coalesce(sum(columns(* exclude (recent, cost_usd))), 0),
        if(coalesce(sum(llm_calls), 0) = 0, 0, sum(cost_usd)) as cost_usd
    from (from daily_periods right join (values (true), (false)) as period(recent) using (recent))
    group by recent
)
select
    (select one from (select * replace (if(llm_calls = 0, 0, cost_usd) as cost_usd) from fleet) as one) as totals,
    (select list(one order by hour) from hours as one) as hourly,
    (select list(one order by day) from days as one) as daily,
    (select one from (select * exclude (recent) from hourly_sums where recent) as one) as hourly_now,
    (select one from (select * exclude (recent) from hourly_sums where not recent) as one) as hourly_before,
    (select one from (select * exclude (recent) from daily_sums where recent) as one) as daily_now,
    (select one from (select * exclude (recent) from daily_sums where not recent) as one) as daily_before,
    (select coalesce(list(one order by cost_usd desc nulls last, llm_calls desc, agent_id), []) from (
        select agent_id, calls as llm_calls, failed_calls as llm_errors, input_tokens, output_tokens, cost_usd, unpriced_calls
        from cost_by_agent
        order by cost_usd desc nulls last, calls desc, agent_id
        limit $top
    ) as one) as top_agents,
    (select coalesce(list(one order by cost_usd desc nulls last, llm_calls desc, provider, model), []) from (
        select
            provider, model, calls as llm_calls, failed_calls as llm_errors, input_tokens, output_tokens, cost_usd,
            unpriced_calls
        from cost_by_model
        order by cost_usd desc nulls last, calls desc, provider, model
        limit $top
    ) as one) as top_models,
    (select coalesce(list(one order by calls desc, tool), []) from (
        select tool, sum(calls) as calls, sum(errors) as errors
        from tool_use
        group by tool
        order by calls desc, tool
        limit $top
    ) as one) as top_tools
