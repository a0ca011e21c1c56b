-- By emitter, minute of start (of the call, of the run) and hour of arrival (of its span): answered model calls that no
-- span tells the usage of (spans around a call may leave it to the call itself, failed calls need none); runs whose topmost
-- span tells token sums of its own, and how many of them are not what the run's calls add up to. With sub-agents an
-- emitter may mean its own calls alone, which is no defect: such runs are left out. `checked_calls()`, `checked_runs()` and
-- `checked_spans()` are what to look at; of spans only what the runs job has looked at too.
WITH silent AS (
    SELECT c.start_ns AS at_ns, s.batch, s.source, s.facet, 0 AS told, 0 AS differing, 1 AS without_usage
    FROM checked_calls() c
    JOIN checked_spans() s ON c.start_ns = s.start_ns AND c.trace_hi = s.trace_hi AND c.trace_lo = s.trace_lo
        AND c.span_id = s.span_id
    WHERE c.pricing = 'unknown' AND c.status = 'ok'
),
tops AS (
    SELECT batch, source, facet, trace_hi, trace_lo, span_id, input_tokens, output_tokens
    FROM checked_spans()
    WHERE flags & 16384 <> 0 AND flags & 2062 = 0 AND parent_id IS NULL
),
sums AS (
    SELECT r.started_ns AS at_ns, s.batch, s.source, s.facet, 1 AS told,
        CAST(s.input_tokens <> r.input_tokens OR s.output_tokens <> r.output_tokens AS INTEGER) AS differing,
        0 AS without_usage
    FROM checked_runs() r
    JOIN tops s ON r.trace_hi = s.trace_hi AND r.trace_lo = s.trace_lo AND r.run_span IN (0, s.span_id)
    WHERE r.status IN ('ok', 'error') AND len(r.agents) = 0
)
SELECT at_ns // 60000000000 AS minute, batch // 3600000 AS hour, f.dialect, o.scope, o.scope_version,
    sum(told)::BIGINT AS told, coalesce(sum(differing), 0)::BIGINT AS differing,
    sum(without_usage)::BIGINT AS without_usage
FROM (FROM silent UNION ALL FROM sums)
JOIN facets f USING (facet)
JOIN sources o USING (source)
GROUP BY ALL
