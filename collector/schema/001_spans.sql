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
-- `batch` numbers the commits: it is the commit's time of arrival in milliseconds since 1970, and grows strictly
-- (arrived_ns = batch * 1000000). Jobs keep their watermark in it.
-- Write here, read from the view `spans`: what is not known is -1 here (0 for ids and hashes) because scattered NULLs
-- make an insert more than twice as expensive; NULL is understood as well.
CREATE TABLE span_log (
    batch BIGINT NOT NULL,
    trace_hi UBIGINT NOT NULL,
    trace_lo UBIGINT NOT NULL,
    span_id UBIGINT NOT NULL,
    parent_id UBIGINT,                   -- 0: root
    start_ns BIGINT NOT NULL,
    duration_ns BIGINT NOT NULL,
    facet INTEGER NOT NULL,
    identity INTEGER NOT NULL,
    source INTEGER NOT NULL,
    flags INTEGER NOT NULL,              -- collector.semconv.Flag
    input_tokens INTEGER,                -- inclusive totals and their parts
    output_tokens INTEGER,
    cache_read_tokens INTEGER,
    cache_write_tokens INTEGER,
    cache_write_1h_tokens INTEGER,
    reasoning_tokens INTEGER,
    input_audio_tokens INTEGER,
    output_audio_tokens INTEGER,
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

CREATE VIEW spans AS
SELECT
    batch, trace_hi, trace_lo, span_id, nullif(parent_id, 0) AS parent_id, start_ns, duration_ns,
    facet, identity, source, flags,
    nullif(input_tokens, -1)::BIGINT AS input_tokens,
    nullif(output_tokens, -1)::BIGINT AS output_tokens,
    nullif(cache_read_tokens, -1)::BIGINT AS cache_read_tokens,
    nullif(cache_write_tokens, -1)::BIGINT AS cache_write_tokens,
    nullif(cache_write_1h_tokens, -1)::BIGINT AS cache_write_1h_tokens,
    nullif(reasoning_tokens, -1)::BIGINT AS reasoning_tokens,
    nullif(input_audio_tokens, -1)::BIGINT AS input_audio_tokens,
    nullif(output_audio_tokens, -1)::BIGINT AS output_audio_tokens,
    nullif(reported_pusd, -1) AS reported_pusd,
    nullif(first_token_ns, -1) AS first_token_ns,
    nullif(retry_count, -1) AS retry_count,
    nullif(item_count, -1) AS item_count,
    nullif(selected_count, -1) AS selected_count,
    nullif(args_bytes, -1) AS args_bytes,
    nullif(result_bytes, -1) AS result_bytes,
    nullif(args_hash, 0) AS args_hash,
    nullif(args_shape, 0) AS args_shape,
    nullif(paging, -1) AS paging,
    nullif(result_hash, 0) AS result_hash,
    nullif(subject_hash, 0) AS subject_hash,
    nullif(response_hash, 0) AS response_hash,
    nullif(call_hash, 0) AS call_hash,
    attributes
FROM span_log;

-- Tool calls named in model messages, for emitters that send no tool spans.
CREATE TABLE message_tool_calls (
    batch BIGINT NOT NULL,
    trace_hi UBIGINT NOT NULL,
    trace_lo UBIGINT NOT NULL,
    span_id UBIGINT NOT NULL,            -- the model call whose messages held it
    call_hash UBIGINT NOT NULL,
    tool VARCHAR,                        -- null where only the answer was seen
    args_hash UBIGINT,
    args_shape UBIGINT,
    paging BIGINT,
    args_bytes INTEGER,
    result_hash UBIGINT,                 -- from the answering tool message, if one was seen
    result_bytes INTEGER,
    asked BOOLEAN NOT NULL,              -- the model's answer held the call
    answered BOOLEAN NOT NULL,           -- the messages held the tool's answer
    error_reason VARCHAR                 -- the answer says that the tool failed, and how
);

-- What happened to telemetry other than being stored plainly; stored rows are counted from `spans`.
CREATE TABLE ingest_events (
    batch BIGINT NOT NULL,
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
