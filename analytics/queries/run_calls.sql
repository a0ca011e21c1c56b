-- The model and tool calls of one run, derived ones included.
SELECT c.* EXCLUDE (call_group), g.kind, g.provider, g.model, g.tool_server, g.tool
FROM calls c
JOIN call_groups g USING (call_group)
JOIN runs r USING (trace_hi, trace_lo, run_span)
WHERE r.run_id = $run_id
ORDER BY c.start_ns, c.span_id
