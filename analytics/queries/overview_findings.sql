-- What goes wrong now: runs that are still at it first, then the dearest? And how much of it is there in all?
WITH these AS (FROM findings WHERE ended_ns >= $from_ns AND ($tenant IS NULL OR tenant = $tenant)),
worst AS (
    (
        SELECT *, true AS running FROM these
        WHERE (trace_hi, trace_lo, run_span) IN (
            SELECT (trace_hi, trace_lo, run_span) FROM runs WHERE status = 'running')
        ORDER BY wasted_pusd DESC, ended_ns DESC LIMIT 5
    )
    UNION ALL
    (SELECT *, false FROM these ORDER BY wasted_pusd DESC, ended_ns DESC LIMIT 10)
)
SELECT f.finding_id, f.run_id, f.agent, f.tenant, f.rule, f.severity, f.sentence, f.action, f.wasted_pusd, f.ended_ns,
    s.all_wasted_pusd, s.findings
FROM worst f, (SELECT sum(wasted_pusd)::HUGEINT AS all_wasted_pusd, count(*) AS findings FROM these) s
QUALIFY row_number() OVER (PARTITION BY finding_id ORDER BY running DESC) = 1
ORDER BY f.running DESC, f.wasted_pusd DESC, f.ended_ns DESC
LIMIT 5
