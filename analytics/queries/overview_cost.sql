-- What did calls cost hour by hour, and until $split_ns? `cost_rows()`: calls or bins of them (analytics.cost_bins), none
-- of which lies on both sides of $split_ns.
SELECT start_ns // 3600000000000 AS hour, start_ns < $split_ns AS before, sum(cost_pusd) AS cost_pusd, sum(wasted_pusd) AS wasted_pusd,
    sum(priced) FILTER (kind = 'llm.call') AS priced_calls,
    sum(unpriced) FILTER (kind = 'llm.call') AS unpriced_calls,
    sum(unknown) FILTER (kind = 'llm.call') AS unknown_calls
FROM cost_rows() JOIN call_groups USING (call_group)
WHERE start_ns >= $from_ns AND start_ns < $to_ns AND ($tenant IS NULL OR tenant = $tenant)
GROUP BY ALL
ORDER BY hour
