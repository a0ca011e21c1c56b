-- The calls of one part of a report, `part_calls()`, with what a FOCUS row tells of them; their runs are named where
-- `part_runs()` has them.
SELECT CAST(make_timestamp(c.start_ns // 1000) AS DATE) AS day, g.kind, g.provider, g.model, g.request_model,
    g.service_tier, g.tenant, g.agent, g.environment, g.tool_server, g.tool, r.run_id AS run, c.start_ns,
    c.input_tokens, c.output_tokens, c.cache_read_tokens, c.cache_write_tokens, c.cache_write_1h_tokens,
    c.reasoning_tokens, c.input_audio_tokens, c.output_audio_tokens, c.pricing, c.cost_pusd, c.price_version,
    c.cache_hit
FROM part_calls() c
JOIN call_groups g USING (call_group)
LEFT JOIN part_runs() r ON r.trace_hi = c.trace_hi AND r.trace_lo = c.trace_lo AND r.run_span = c.run_span
WHERE $tenant IS NULL OR g.tenant = $tenant
