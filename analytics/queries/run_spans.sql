-- Every span of some traces with all that is known of it, in the shape that analytics.structure takes; none of them
-- arrived before $first_batch.
SELECT
    s.*, s.batch * 1000000 AS arrived_ns,
    f.* EXCLUDE (facet, agent, agent_version), f.agent AS own_agent, f.agent_version AS own_agent_version,
    i.tenant AS own_tenant, i."user" AS own_user, i.session AS own_session, i.run_ref AS own_run_ref,
    i.client AS own_client,
    o.ingest_tenant, o.service, o.service_version, o.environment AS own_environment, o.instance, o.scope,
    o.scope_version, o.sdk, o.tenant AS resource_tenant, o."user" AS resource_user, o.session AS resource_session,
    o.run_ref AS resource_run_ref, o.client AS resource_client
FROM spans s
JOIN facets f USING (facet)
JOIN identities i USING (identity)
JOIN sources o USING (source)
WHERE s.trace_lo IN (SELECT unnest($trace_lo::UBIGINT[])) AND s.trace_hi IN (SELECT unnest($trace_hi::UBIGINT[]))
    AND s.batch >= $first_batch AND s.flags & 2048 = 0
