-- One row a commit. `batch` is the order of arrival: jobs keep their watermark in it.
CREATE TABLE batches (
    batch INTEGER NOT NULL,
    arrived_ns BIGINT NOT NULL,
    spans INTEGER NOT NULL
);

-- What a span is. Rows may repeat: join by id, group by text.
CREATE TABLE facets (
    facet INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    dialect VARCHAR NOT NULL,
    mapping VARCHAR NOT NULL,            -- exact, assumed, none: how sure the mapping is
    name VARCHAR NOT NULL,               -- scrubbed span name
    span_kind VARCHAR NOT NULL,          -- internal, server, client, producer, consumer
    status VARCHAR NOT NULL,             -- ok, error, denied
    error_type VARCHAR,
    error_reason VARCHAR,
    agent VARCHAR,
    agent_version VARCHAR,
    model VARCHAR,
    request_model VARCHAR,
    provider VARCHAR,
    service_tier VARCHAR,
    finish_reason VARCHAR,
    tool VARCHAR,
    tool_server VARCHAR,
    tool_class VARCHAR,
    tool_action VARCHAR,
    rule_id VARCHAR,
    decision VARCHAR,
    decision_raw VARCHAR,
    reason_code VARCHAR,
    planner_model VARCHAR,
    selector_version VARCHAR,
    store VARCHAR,
    dependency VARCHAR,
    http_status VARCHAR
);

-- Whom a span names itself; null where it says nothing (analytics inherits from runs above it).
CREATE TABLE identities (
    identity INTEGER NOT NULL,
    tenant VARCHAR,
    "user" VARCHAR,
    session VARCHAR,
    run_ref VARCHAR,
    client VARCHAR
);

-- Who sent a span: the credential's tenant, the resource and the instrumentation scope.
CREATE TABLE sources (
    source INTEGER NOT NULL,
    ingest_tenant VARCHAR,               -- null: no credential
    service VARCHAR NOT NULL,
    service_version VARCHAR,
    environment VARCHAR,
    instance VARCHAR,
    scope VARCHAR NOT NULL,
    scope_version VARCHAR,
    sdk VARCHAR,
    tenant VARCHAR,                      -- as the resource states them
    "user" VARCHAR,
    session VARCHAR,
    run_ref VARCHAR,
    client VARCHAR
);

-- The span table: numbers only, in order of arrival. Identity is (ingest tenant, trace id, span id).
CREATE TABLE spans (
    batch INTEGER NOT NULL,
    trace_hi UBIGINT NOT NULL,
    trace_lo UBIGINT NOT NULL,
    span_id UBIGINT NOT NULL,
    parent_id UBIGINT,                   -- null: root
    start_ns BIGINT NOT NULL,
    duration_ns BIGINT NOT NULL,
    facet INTEGER NOT NULL,
    identity INTEGER NOT NULL,
    source INTEGER NOT NULL,
    flags INTEGER NOT NULL,              -- collector.semconv.Flag
    input_tokens BIGINT,                 -- inclusive totals and their parts; null: not reported
    output_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    cache_write_1h_tokens BIGINT,
    reasoning_tokens BIGINT,
    input_audio_tokens BIGINT,
    output_audio_tokens BIGINT,
    reported_pusd BIGINT,                -- 10^-12 USD
    first_token_ns BIGINT,
    retry_count INTEGER,
    item_count INTEGER,
    selected_count INTEGER,
    args_bytes INTEGER,
    result_bytes INTEGER,
    args_hash UBIGINT,                   -- keyed hashes
    args_shape UBIGINT,
    paging BIGINT,                       -- paging argument plus a secret offset: only differences mean anything
    result_hash UBIGINT,
    subject_hash UBIGINT,
    response_hash UBIGINT,
    call_hash UBIGINT,
    attributes VARCHAR                   -- JSON of the other allow-listed attributes
);

-- Tool calls named in model messages, for emitters that send no tool spans.
CREATE TABLE message_tool_calls (
    batch INTEGER NOT NULL,
    trace_hi UBIGINT NOT NULL,
    trace_lo UBIGINT NOT NULL,
    span_id UBIGINT NOT NULL,            -- the model call whose messages held it
    call_hash UBIGINT NOT NULL,
    tool VARCHAR NOT NULL,
    args_hash UBIGINT,
    args_shape UBIGINT,
    paging BIGINT,
    args_bytes INTEGER,
    result_hash UBIGINT,                 -- from the answering tool message, if one was seen
    result_bytes INTEGER,
    answered BOOLEAN NOT NULL            -- this row saw the tool's answer
);

-- What happened to telemetry other than being stored plainly; stored rows are counted from `spans`.
CREATE TABLE ingest_events (
    batch INTEGER NOT NULL,
    hour TIMESTAMP NOT NULL,             -- UTC hour of arrival
    signal VARCHAR NOT NULL,             -- traces, metrics, logs
    ingest_tenant VARCHAR,
    outcome VARCHAR NOT NULL,            -- rejected, deduplicated, conflicting, repaired, dropped
    reason VARCHAR NOT NULL,             -- e.g. zero_trace_id, invalid_utf8:name, too_deep
    items BIGINT NOT NULL
);

-- Attribute keys whose values were dropped, with how often; keys beyond a bound fall under '_other'.
CREATE TABLE dropped_keys (
    key VARCHAR NOT NULL,
    values_dropped BIGINT NOT NULL
);

-- Single facts about the store: the retention horizon among them.
CREATE TABLE store_facts (
    fact VARCHAR NOT NULL,
    value VARCHAR NOT NULL
);

CREATE VIEW span_details AS
SELECT
    printf('%016x%016x', s.trace_hi, s.trace_lo) AS trace_id,
    printf('%016x', s.span_id) AS span_id,
    CASE WHEN s.parent_id IS NOT NULL THEN printf('%016x', s.parent_id) END AS parent_span_id,
    make_timestamp_ns(s.start_ns) AS started_at,
    s.start_ns, s.duration_ns, s.batch, s.flags,
    f.* EXCLUDE (facet),
    i.tenant, i."user", i.session, i.run_ref, i.client,
    o.ingest_tenant, o.service, o.service_version, o.environment, o.instance, o.scope, o.scope_version, o.sdk,
    s.input_tokens, s.output_tokens, s.cache_read_tokens, s.cache_write_tokens, s.cache_write_1h_tokens,
    s.reasoning_tokens, s.input_audio_tokens, s.output_audio_tokens, s.reported_pusd, s.first_token_ns,
    s.retry_count, s.item_count, s.selected_count, s.args_bytes, s.result_bytes,
    s.args_hash, s.args_shape, s.result_hash, s.subject_hash, s.response_hash, s.call_hash, s.attributes
FROM spans s
JOIN facets f USING (facet)
JOIN identities i USING (identity)
JOIN sources o USING (source);
