-- Which runs are there, newest first?
SELECT *
FROM runs
WHERE ($run_id IS NULL OR run_id = $run_id)
    AND ($tenant IS NULL OR tenant = $tenant)
    AND ($agent IS NULL OR agent = $agent)
    AND ($statuses IS NULL OR list_contains($statuses, status))
    AND ($user IS NULL OR "user" = $user)
    AND ($session IS NULL OR session = $session)
    AND ($environment IS NULL OR environment = $environment)
    AND ($service IS NULL OR service = $service)
    AND started_ns >= $from_ns AND started_ns < $to_ns
    AND ($min_cost_pusd IS NULL OR cost_pusd >= $min_cost_pusd)
    AND ($q IS NULL OR starts_with(run_id, lower($q)) OR contains(lower(agent), lower($q))
        OR contains(lower(root_name), lower($q)))
    AND (($model IS NULL AND $tool IS NULL) OR (trace_hi, trace_lo, run_span) IN (
        SELECT (trace_hi, trace_lo, run_span) FROM calls JOIN call_groups USING (call_group)
        WHERE ($model IS NOT NULL OR $tool IS NOT NULL)
        GROUP BY ALL
        HAVING ($model IS NULL OR bool_or(model = $model)) AND ($tool IS NULL OR bool_or(tool = $tool))))
    AND ($rule IS NULL OR run_id IN (SELECT run_id FROM findings WHERE $rule IN ('any', rule)))
    AND ($after_ns IS NULL OR (started_ns, run_id) < ($after_ns, $after_id))
ORDER BY started_ns DESC, run_id DESC
LIMIT $limit
