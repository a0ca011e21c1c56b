-- Model calls that began about when one of the same process did (`moments`: service, instance, number of a stretch of $window ns):
-- another instrumentation may have seen the same call. With $all = 0 only those that are the root of their trace.
SELECT s.trace_hi, s.trace_lo, o.ingest_tenant, o.service, o.instance, o.scope, s.start_ns,
    s.start_ns + s.duration_ns AS ended_ns, s.parent_id IS NULL AS is_root, s.response_hash
FROM spans s
JOIN sources o USING (source)
SEMI JOIN moments m ON o.service = m.service AND o.instance = m.instance AND s.start_ns // $window = m.moment
WHERE s.facet IN (SELECT facet FROM facets WHERE kind = 'llm.call') AND (s.parent_id IS NULL OR $all = 1)
    AND s.start_ns BETWEEN $from_ns AND $to_ns AND s.batch <= $upto AND s.flags & $self_check = 0
