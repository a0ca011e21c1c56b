-- Which runs are there, newest first? Conditions in [[brackets]] stand only where what they ask for is asked for: the
-- engine would join for the others too. Which runs they are is found first, then all of each is read. With a model or a tool
-- only calls since $first_ns are looked at: `$since_ns` is the start of the oldest run that may be answered.
SELECT *
FROM runs
WHERE rowid IN (
    SELECT rowid
    FROM runs
    WHERE started_ns >= $from_ns AND started_ns < $to_ns
        [[AND trace_hi = $trace_hi AND trace_lo = $trace_lo AND run_id = $run_id]]
        [[AND tenant = $tenant]]
        [[AND agent = $agent]]
        [[AND list_contains($statuses, status)]]
        [[AND "user" = $user]]
        [[AND session = $session]]
        [[AND environment = $environment]]
        [[AND service = $service]]
        [[AND cost_pusd >= $min_cost_pusd]]
        [[AND (starts_with(run_id, lower($q)) OR contains(lower(agent), lower($q))
            OR contains(lower(root_name), lower($q)))]]
        [[AND started_ns >= $since_ns]]
        [[AND (trace_hi, trace_lo, run_span) IN (
            SELECT (trace_hi, trace_lo, run_span) FROM calls
            WHERE start_ns >= $first_ns
                AND call_group IN (SELECT call_group FROM call_groups WHERE model = $model))]]
        [[AND (trace_hi, trace_lo, run_span) IN (
            SELECT (trace_hi, trace_lo, run_span) FROM calls
            WHERE start_ns >= $first_ns
                AND call_group IN (SELECT call_group FROM call_groups WHERE tool = $tool))]]
        [[AND findings > 0 AND $any_rule]]
        [[AND findings > 0 AND run_id IN (SELECT run_id FROM findings WHERE rule = $rule)]]
        [[AND (started_ns, run_id) < ($after_ns, $after_id)]]
    ORDER BY started_ns DESC, run_id DESC
    LIMIT $limit
)
ORDER BY started_ns DESC, run_id DESC
