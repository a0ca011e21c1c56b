-- What arrived in a period, by hour of arrival, sender and description: how much, flagged how, with which usage. Of the
-- span table itself and by its flags as they are: it is looked at once, as a whole.
WITH counts AS (
    SELECT batch // 3600000 AS hour, source, facet, flags,
        count(*) AS spans,
        count(*) FILTER (input_tokens >= 0 OR output_tokens >= 0) AS with_usage,
        count(*) FILTER (cache_read_tokens >= 0) AS with_cache,
        count(*) FILTER (reasoning_tokens > 0) AS with_reasoning,
        count(*) FILTER (input_tokens >= 1024) AS large
    FROM span_log
    WHERE batch >= $from_ms AND batch < $to_ms AND flags & 2048 = 0
    GROUP BY ALL
)
SELECT hour, source, facet, CASE WHEN flags & 32768 <> 0 THEN 'logs' ELSE 'traces' END AS signal,
    sum(spans)::BIGINT AS accepted,
    coalesce(sum(spans) FILTER (flags & 1 <> 0), 0)::BIGINT AS late,
    coalesce(sum(spans) FILTER (flags & 2 <> 0), 0)::BIGINT AS foreign_tenant,
    coalesce(sum(spans) FILTER (flags & 4 <> 0), 0)::BIGINT AS time_absurd,
    coalesce(sum(spans) FILTER (flags & 8 <> 0), 0)::BIGINT AS usage_absurd,
    coalesce(sum(spans) FILTER (flags & 8192 <> 0), 0)::BIGINT AS sampled,
    coalesce(sum(spans) FILTER (flags & 32 <> 0), 0)::BIGINT AS clock_backwards,
    coalesce(sum(spans) FILTER (flags & 4096 <> 0), 0)::BIGINT AS attributes_dropped,
    coalesce(sum(spans) FILTER (flags & 512 <> 0), 0)::BIGINT AS usage_assumed,
    sum(with_usage)::BIGINT AS used,
    sum(with_cache)::BIGINT AS cache_told,
    sum(with_reasoning)::BIGINT AS reasoning_told,
    sum(large)::BIGINT AS cacheable
FROM counts
GROUP BY ALL
