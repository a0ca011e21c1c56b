-- How did runs end, hour by hour, and until $split_ns? Counted by status first: one look at the texts.
WITH counts AS (
    SELECT started_ns // 3600000000000 AS hour, started_ns < $split_ns AS before, status,
        count(*) AS runs, sum(quarantined) AS quarantined
    FROM runs
    WHERE started_ns >= $from_ns AND started_ns < $to_ns AND ($tenant IS NULL OR tenant = $tenant)
    GROUP BY ALL
)
SELECT hour, before, coalesce(sum(runs) FILTER (status = 'ok'), 0)::BIGINT AS ok,
    coalesce(sum(runs) FILTER (status = 'error'), 0)::BIGINT AS error,
    coalesce(sum(runs) FILTER (status = 'stuck'), 0)::BIGINT AS stuck,
    coalesce(sum(runs) FILTER (status = 'running'), 0)::BIGINT AS running,
    coalesce(sum(runs) FILTER (status = 'incomplete'), 0)::BIGINT AS incomplete,
    sum(quarantined)::BIGINT AS quarantined
FROM counts
GROUP BY ALL
ORDER BY hour
