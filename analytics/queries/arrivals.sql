-- What arrived, by hour of arrival, tenant and emitter (an instrumentation scope of some version that speaks a dialect):
-- how much, flagged how, with which usage. `arrived_spans()` are the rows of the span table to look at; by their flags
-- as they are: they are looked at once, as a whole. Of usage: model calls.
WITH counts AS (
    SELECT batch // 3600000 AS hour, source, facet, flags,
        count(*) AS spans,
        count(*) FILTER (input_tokens >= 0 OR output_tokens >= 0) AS with_usage,
        count(*) FILTER (cache_read_tokens >= 0) AS with_cache,
        count(*) FILTER (reasoning_tokens > 0) AS with_reasoning,
        count(*) FILTER (input_tokens >= 1024) AS large
    FROM arrived_spans()
    WHERE flags & 2048 = 0
    GROUP BY ALL
)
SELECT hour, CASE WHEN flags & 32768 <> 0 THEN 'logs' ELSE 'traces' END AS signal,
    coalesce(o.ingest_tenant, o.tenant) AS tenant, f.dialect, o.scope, o.scope_version, f.kind, f.mapping,
    sum(spans)::BIGINT AS accepted,
    coalesce(sum(spans) FILTER (flags & 1 <> 0), 0)::BIGINT AS late,
    coalesce(sum(spans) FILTER (flags & 2 <> 0), 0)::BIGINT AS foreign_tenant,
    coalesce(sum(spans) FILTER (flags & 4 <> 0), 0)::BIGINT AS time_absurd,
    coalesce(sum(spans) FILTER (flags & 8 <> 0), 0)::BIGINT AS usage_absurd,
    coalesce(sum(spans) FILTER (flags & 8192 <> 0), 0)::BIGINT AS sampled,
    coalesce(sum(spans) FILTER (flags & 32 <> 0), 0)::BIGINT AS clock_backwards,
    coalesce(sum(spans) FILTER (flags & 4096 <> 0), 0)::BIGINT AS attributes_dropped,
    coalesce(sum(spans) FILTER (flags & 512 <> 0), 0)::BIGINT AS usage_assumed,
    coalesce(sum(spans) FILTER (f.kind = 'llm.call' AND f.status = 'ok'), 0)::BIGINT AS answered,
    coalesce(sum(with_usage) FILTER (f.kind = 'llm.call'), 0)::BIGINT AS used,
    coalesce(sum(with_cache) FILTER (f.kind = 'llm.call'), 0)::BIGINT AS cache_told,
    coalesce(sum(with_reasoning) FILTER (f.kind = 'llm.call'), 0)::BIGINT AS reasoning_told,
    coalesce(sum(large) FILTER (f.kind = 'llm.call'), 0)::BIGINT AS cacheable
FROM counts
JOIN sources o USING (source)
JOIN facets f USING (facet)
GROUP BY ALL
