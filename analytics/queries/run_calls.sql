-- The model and tool calls of one run, derived ones included.
SELECT c.* EXCLUDE (call_group), g.kind, g.provider, g.model, g.tool_server, g.tool
FROM calls c
JOIN call_groups g USING (call_group)
WHERE c.trace_hi = $trace_hi AND c.trace_lo = $trace_lo AND c.run_span = $run_span
    AND c.start_ns >= $first_ns AND c.start_ns <= $ended_ns
ORDER BY c.start_ns, c.span_id
