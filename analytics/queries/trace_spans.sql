-- Every span of the wanted traces with what it is, whom it names and who sent it.
SELECT
    s.batch, s.trace_hi, s.trace_lo, s.span_id, s.parent_id, s.start_ns, s.duration_ns, s.flags,
    s.input_tokens, s.output_tokens, s.cache_read_tokens, s.cache_write_tokens, s.cache_write_1h_tokens,
    s.reasoning_tokens, s.input_audio_tokens, s.output_audio_tokens, s.reported_pusd, s.retry_count, s.args_bytes, s.result_bytes,
    s.args_hash, s.args_shape, s.paging, s.result_hash, s.response_hash, s.call_hash,
    f.kind, f.dialect, f.name, f.status, f.error_reason, f.agent AS own_agent, f.agent_version AS own_agent_version,
    f.model, f.request_model, f.provider, f.service_tier, f.tool, f.tool_server, f.tool_class, f.tool_action, f.decision,
    i.tenant AS own_tenant, i."user" AS own_user, i.session AS own_session, i.run_ref AS own_run_ref,
    i.client AS own_client,
    o.ingest_tenant, o.service, o.service_version, o.instance, o.scope, o.environment AS own_environment,
    o.tenant AS resource_tenant, o."user" AS resource_user, o.session AS resource_session,
    o.run_ref AS resource_run_ref, o.client AS resource_client
FROM spans s
SEMI JOIN wanted USING (trace_hi, trace_lo)
JOIN facets f USING (facet)
JOIN identities i USING (identity)
JOIN sources o USING (source)
WHERE s.batch >= $first AND s.batch <= $upto AND s.flags & $self_check = 0
