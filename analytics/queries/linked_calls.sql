-- Traces with a model call that contains, or is contained by, a call of `told` in time, in the same process as another
-- instrumentation saw it, where one of the two is the root of its trace and they have no response id in common.
SELECT DISTINCT s.trace_hi, s.trace_lo
FROM spans s
JOIN sources o USING (source)
JOIN told w ON o.service = w.service AND o.instance = w.instance
    AND o.ingest_tenant IS NOT DISTINCT FROM w.ingest_tenant AND o.scope <> w.scope
WHERE s.facet IN (SELECT facet FROM facets WHERE kind = 'llm.call')
    AND s.start_ns BETWEEN $from_ns AND $to_ns AND s.batch <= $upto AND s.flags & $self_check = 0
    AND (s.response_hash IS NULL OR w.response_hash IS NULL)
    AND (
        (s.parent_id IS NULL AND s.start_ns BETWEEN w.start_ns AND w.start_ns + $window
            AND s.start_ns + s.duration_ns <= w.ended_ns)
        OR (w.is_root AND w.start_ns BETWEEN s.start_ns AND s.start_ns + $window
            AND w.ended_ns <= s.start_ns + s.duration_ns)
    )
