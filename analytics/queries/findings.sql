-- What went wrong, newest first?
SELECT *
FROM findings
WHERE ($rule IS NULL OR rule = $rule)
    AND ($severity IS NULL OR severity = $severity)
    AND ($tenant IS NULL OR tenant = $tenant)
    AND ($agent IS NULL OR agent = $agent)
    AND ($run IS NULL OR trace_hi = $trace_hi AND trace_lo = $trace_lo AND run_id = lower($run))
    AND started_ns >= $from_ns AND started_ns < $to_ns
    AND ($after_ns IS NULL OR (started_ns, finding_id) < ($after_ns, $after_id))
ORDER BY started_ns DESC, finding_id DESC
LIMIT $limit
