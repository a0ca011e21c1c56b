-- What the calls of a period come to at the finest grouping of `month_costs`.
SELECT CAST(make_timestamp(c.start_ns // 1000) AS DATE) AS day, g.tenant, c.owner, g.agent, g.service, g.environment,
    g.provider, g.model, g.tool_server, g.tool,
    count_if(counted AND kind = 'llm.call') AS llm_calls,
    count_if(counted AND kind = 'llm.call' AND status = 'error') AS llm_errors,
    count_if(counted AND kind = 'tool.call') AS tool_calls,
    coalesce(sum(input_tokens), 0) AS input_tokens,
    coalesce(sum(output_tokens), 0) AS output_tokens,
    coalesce(sum(cache_read_tokens), 0) AS cache_read_tokens,
    coalesce(sum(cache_write_tokens), 0) AS cache_write_tokens,
    coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens,
    coalesce(sum(cost_pusd), 0) AS cost_pusd,
    coalesce(sum(booked_pusd), 0) AS booked_pusd,
    coalesce(sum(reported_pusd), 0) AS reported_pusd,
    coalesce(sum(wasted_pusd), 0) AS wasted_pusd,
    coalesce(sum(avoided_pusd), 0) AS avoided_pusd,
    count_if(counted AND kind = 'llm.call' AND pricing = 'priced') AS priced_calls,
    count_if(counted AND pricing = 'unpriced') AS unpriced_calls,
    count_if(counted AND pricing = 'unknown') AS unknown_calls,
    coalesce(sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0))
        FILTER (kind = 'llm.call' AND pricing = 'priced'), 0) AS priced_tokens
FROM owned_calls() c
JOIN call_groups g USING (call_group)
WHERE c.start_ns >= $from_ns AND c.start_ns < $to_ns
GROUP BY ALL
