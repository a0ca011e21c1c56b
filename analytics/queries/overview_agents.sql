-- Which agents fail most?
SELECT agent, count(*) AS runs,
    count(*) FILTER (status = 'error') AS error, count(*) FILTER (status = 'stuck') AS stuck,
    sum(cost_pusd)::HUGEINT AS cost_pusd, sum(wasted_pusd)::HUGEINT AS wasted_pusd,
    sum(priced_calls)::BIGINT AS priced_calls, sum(unpriced_calls)::BIGINT AS unpriced_calls,
    sum(unknown_calls)::BIGINT AS unknown_calls
FROM runs
WHERE started_ns >= $from_ns AND started_ns < $to_ns AND ($tenant IS NULL OR tenant = $tenant)
GROUP BY agent ORDER BY error + stuck DESC, runs DESC, agent LIMIT 6
