-- What arrived in a period, by hour of arrival, sender and description: how much, flagged how, with which usage.
SELECT s.batch // 3600000 AS hour, s.source, s.facet,
    CASE WHEN s.flags & 32768 <> 0 THEN 'logs' ELSE 'traces' END AS signal,
    count(*) AS accepted,
    count(*) FILTER (s.flags & 1 <> 0) AS late,
    count(*) FILTER (s.flags & 2 <> 0) AS foreign_tenant,
    count(*) FILTER (s.flags & 4 <> 0) AS time_absurd,
    count(*) FILTER (s.flags & 8 <> 0) AS usage_absurd,
    count(*) FILTER (s.flags & 8192 <> 0) AS sampled,
    count(*) FILTER (s.flags & 32 <> 0) AS clock_backwards,
    count(*) FILTER (s.flags & 4096 <> 0) AS attributes_dropped,
    count(*) FILTER (s.flags & 512 <> 0) AS usage_assumed,
    count(*) FILTER (s.input_tokens IS NOT NULL OR s.output_tokens IS NOT NULL) AS used,
    count(*) FILTER (s.cache_read_tokens IS NOT NULL) AS cache_told,
    count(*) FILTER (s.input_tokens >= 1024) AS cacheable
FROM spans s
WHERE s.batch >= $from_ms AND s.batch < $to_ms AND s.flags & 2048 = 0
GROUP BY ALL
