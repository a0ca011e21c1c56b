-- What each emitter sent in a period, from `arrivals` (the answer to arrivals.sql): an emitter is an instrumentation
-- scope of some version that speaks a dialect. Spans around a call may leave its usage to the call itself, and failed calls
-- need none: without usage are answered calls that no span tells it of.
WITH silent AS (
    SELECT s.source, s.facet, count(*) AS calls
    FROM calls c
    JOIN spans s ON c.trace_hi = s.trace_hi AND c.trace_lo = s.trace_lo AND c.span_id = s.span_id
    WHERE c.pricing = 'unknown' AND c.status = 'ok' AND s.batch >= $from_ms AND s.batch < $to_ms
    GROUP BY ALL
),
sent AS (
    SELECT source, facet, sum(COLUMNS(* EXCLUDE (hour, source, facet, signal))) FROM arrivals GROUP BY ALL
)
SELECT f.dialect, o.scope, o.scope_version, f.kind, f.mapping,
    sum(accepted) AS spans,
    sum(late) AS late,
    sum(foreign_tenant + time_absurd + usage_absurd) AS quarantined,
    sum(sampled) AS sampled,
    sum(clock_backwards) AS clock_backwards,
    sum(attributes_dropped) AS attributes_dropped,
    sum(usage_assumed) AS usage_assumed,
    sum(accepted) FILTER (f.kind = 'llm.call' AND f.status = 'ok') AS answered,
    sum(silent.calls) AS without_usage,
    sum(used) FILTER (f.kind = 'llm.call') AS used,
    sum(cache_told) FILTER (f.kind = 'llm.call') AS cache_told,
    sum(reasoning_told) FILTER (f.kind = 'llm.call') AS reasoning_told,
    sum(cacheable) FILTER (f.kind = 'llm.call') AS cacheable
FROM sent
JOIN facets f USING (facet)
JOIN sources o USING (source)
LEFT JOIN silent USING (source, facet)
GROUP BY ALL
