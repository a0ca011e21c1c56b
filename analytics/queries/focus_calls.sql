-- The calls of one day with what a FOCUS row tells of them; the run only where `$by_run`.
SELECT CAST(make_timestamp(c.start_ns // 1000) AS DATE) AS day, g.kind, g.provider, g.model, g.request_model,
    g.service_tier, g.tenant, g.agent, g.environment, g.tool_server, g.tool, r.run_id AS run, c.start_ns,
    c.input_tokens, c.output_tokens, c.cache_read_tokens, c.cache_write_tokens, c.cache_write_1h_tokens,
    c.reasoning_tokens, c.input_audio_tokens, c.output_audio_tokens, c.pricing, c.cost_pusd, c.price_version,
    c.cache_hit
FROM calls c
JOIN call_groups g USING (call_group)
LEFT JOIN runs r ON $by_run AND r.trace_hi = c.trace_hi AND r.trace_lo = c.trace_lo AND r.run_span = c.run_span
WHERE c.start_ns >= $from_ns AND c.start_ns < $to_ns AND ($tenant IS NULL OR g.tenant = $tenant)
