-- What was spent hour by hour, and how much of it is priced?
SELECT start_ns // 3600000000000 AS hour,
    sum(cost_pusd)::HUGEINT AS cost_pusd, sum(wasted_pusd)::HUGEINT AS wasted_pusd,
    count(*) FILTER (pricing = 'priced' AND kind = 'llm.call') AS priced_calls,
    count(*) FILTER (pricing = 'unpriced') AS unpriced_calls,
    count(*) FILTER (pricing = 'unknown') AS unknown_calls
FROM calls JOIN call_groups USING (call_group)
WHERE start_ns >= $from_ns AND start_ns < $to_ns AND ($tenant IS NULL OR tenant = $tenant)
GROUP BY hour ORDER BY hour
