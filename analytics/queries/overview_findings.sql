-- What goes wrong now: runs that are still at it first, then the dearest?
SELECT f.finding_id, f.run_id, f.agent, f.tenant, f.rule, f.severity, f.sentence, f.action,
    f.wasted_pusd, f.ended_ns, sum(f.wasted_pusd) OVER ()::HUGEINT AS all_wasted_pusd, count(*) OVER () AS findings
FROM findings f LEFT JOIN runs r USING (trace_hi, trace_lo, run_span)
WHERE f.ended_ns >= $from_ns AND ($tenant IS NULL OR f.tenant = $tenant)
ORDER BY r.status = 'running' DESC, f.wasted_pusd DESC, f.ended_ns DESC LIMIT 5
