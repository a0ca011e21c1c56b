-- What was recorded, by day (UTC), provider and model.
SELECT CAST(make_timestamp(start_ns // 1000) AS DATE) AS day, provider, model,
    count(*)::BIGINT AS calls,
    count_if(pricing = 'unpriced')::BIGINT AS unpriced_calls,
    count_if(pricing = 'unknown')::BIGINT AS unknown_calls,
    coalesce(sum(input_tokens), 0)::BIGINT AS input,
    coalesce(sum(cache_read_tokens), 0)::BIGINT AS cache_read,
    coalesce(sum(cache_write_tokens), 0)::BIGINT AS cache_write,
    coalesce(sum(output_tokens), 0)::BIGINT AS output,
    sum(cost_pusd)::HUGEINT AS pusd
FROM calls
JOIN call_groups USING (call_group)
WHERE kind = 'llm.call' AND start_ns >= $from_ns AND start_ns < $to_ns
GROUP BY ALL
