-- How did runs end, hour by hour, and until $split_ns?
SELECT started_ns // 3600000000000 AS hour, started_ns < $split_ns AS before,
    count(*) FILTER (status = 'ok') AS ok, count(*) FILTER (status = 'error') AS error,
    count(*) FILTER (status = 'stuck') AS stuck, count(*) FILTER (status = 'running') AS running,
    count(*) FILTER (status = 'incomplete') AS incomplete, sum(quarantined)::BIGINT AS quarantined
FROM runs
WHERE started_ns >= $from_ns AND started_ns < $to_ns AND ($tenant IS NULL OR tenant = $tenant)
GROUP BY ALL ORDER BY hour
