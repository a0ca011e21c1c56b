-- Audit of remapping, append-only: a row for every remap and for every one that was taken back.
CREATE TABLE remaps (
    remap INTEGER NOT NULL,
    undoes INTEGER,                      -- the remap that this one took back
    at_ns BIGINT NOT NULL,
    actor VARCHAR NOT NULL,
    from_ns BIGINT NOT NULL,             -- of the spans' starts, half-open
    to_ns BIGINT NOT NULL,
    tables_version VARCHAR NOT NULL,     -- of the dialect tables that gave the new values
    spans BIGINT NOT NULL,               -- looked at
    changed_spans BIGINT NOT NULL
);

-- What the changed spans of a remap were, to take it back.
CREATE TABLE remap_changes (
    remap INTEGER NOT NULL,
    trace_hi UBIGINT NOT NULL,
    trace_lo UBIGINT NOT NULL,
    span_id UBIGINT NOT NULL,
    source INTEGER NOT NULL,
    start_ns BIGINT NOT NULL,            -- bounds the search for the span
    new_facet INTEGER NOT NULL,          -- a span that is something else by now is left alone
    new_flags INTEGER NOT NULL,
    facet INTEGER NOT NULL,              -- what it was; numbers as in span_log, -1 is unknown
    flags INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    input_audio_tokens INTEGER NOT NULL,
    output_audio_tokens INTEGER NOT NULL,
    reported_pusd BIGINT NOT NULL,
    first_token_ns BIGINT NOT NULL,
    retry_count INTEGER NOT NULL,
    item_count INTEGER NOT NULL,
    selected_count INTEGER NOT NULL
);

-- Traces with changed spans, for whoever computes from spans: `place` grows, so that a reader remembers how far it came.
CREATE TABLE remapped_traces (
    place BIGINT NOT NULL,
    remap INTEGER NOT NULL,
    trace_hi UBIGINT NOT NULL,
    trace_lo UBIGINT NOT NULL
);
