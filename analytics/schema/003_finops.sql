-- What repricing needs of a call beside its tokens, so that it gives what a recomputation from the spans gives.
ALTER TABLE call_groups ADD COLUMN request_model VARCHAR;  -- the model that was asked for
ALTER TABLE calls ADD COLUMN args_bytes BIGINT;            -- of tool calls
ALTER TABLE calls ADD COLUMN result_bytes BIGINT;

-- Audit of repricing, append-only: a row for every repricing and for every one that was taken back.
CREATE TABLE reprices (
    reprice INTEGER NOT NULL,
    undoes INTEGER,                      -- the repricing that this one took back
    at_ns BIGINT NOT NULL,
    actor VARCHAR NOT NULL,
    from_ns BIGINT NOT NULL,             -- of the calls' starts, half-open
    to_ns BIGINT NOT NULL,
    model VARCHAR,                       -- null: every model and tool
    price_version VARCHAR NOT NULL,      -- of the book that gave the new prices
    calls BIGINT NOT NULL,               -- looked at
    changed_calls BIGINT NOT NULL,
    old_pusd DECIMAL(38, 0) NOT NULL,    -- of all calls looked at
    new_pusd DECIMAL(38, 0) NOT NULL
);

-- What the changed calls of a repricing had cost, to take it back. Calls whose cost stayed need no row.
CREATE TABLE reprice_changes (
    reprice INTEGER NOT NULL,
    trace_hi UBIGINT NOT NULL,
    trace_lo UBIGINT NOT NULL,
    span_id UBIGINT NOT NULL,
    call_hash UBIGINT,
    start_ns BIGINT NOT NULL,            -- bounds the search for the call
    old_pricing VARCHAR NOT NULL,
    old_pusd BIGINT,
    old_avoided_pusd BIGINT NOT NULL,
    old_wasted_pusd BIGINT NOT NULL,
    old_version VARCHAR,
    old_booked_pusd BIGINT,
    new_pusd BIGINT                      -- a call that costs something else by now is left alone
);

-- Bookings that no longer count, append-only: a call was found to be a duplicate, an aggregate, or told otherwise.
-- What was ever booked is the sum of calls.booked_pusd plus the sum of reversed_pusd; what counts is the former.
CREATE TABLE booking_corrections (
    at_ns BIGINT NOT NULL,
    reason VARCHAR NOT NULL,             -- duplicate, aggregate, changed
    trace_hi UBIGINT NOT NULL,
    trace_lo UBIGINT NOT NULL,
    span_id UBIGINT NOT NULL,
    call_hash UBIGINT,
    call_group INTEGER NOT NULL,
    start_ns BIGINT NOT NULL,
    reversed_pusd BIGINT NOT NULL,       -- what was booked for it and is no longer
    booked_version VARCHAR NOT NULL
);

-- Closed months (UTC). Their rows in month_costs are frozen.
CREATE TABLE closed_months (
    month VARCHAR NOT NULL,              -- 2026-10
    closed_ns BIGINT NOT NULL,
    actor VARCHAR NOT NULL
);

-- Sums of a closed month, append-only: what it came to when it was closed (entry 0), then corrections, each the
-- difference that was found at `at_ns`. The finest grouping: any coarser one adds up from it.
CREATE TABLE month_costs (
    month VARCHAR NOT NULL,
    entry INTEGER NOT NULL,              -- 0: as closed; 1, 2 ...: corrections
    at_ns BIGINT NOT NULL,
    day DATE NOT NULL,
    tenant VARCHAR,
    owner VARCHAR,
    agent VARCHAR,
    service VARCHAR,
    environment VARCHAR,
    provider VARCHAR,
    model VARCHAR,
    tool_server VARCHAR,
    tool VARCHAR,
    llm_calls BIGINT NOT NULL,
    llm_errors BIGINT NOT NULL,
    tool_calls BIGINT NOT NULL,
    input_tokens HUGEINT NOT NULL,
    output_tokens HUGEINT NOT NULL,
    cache_read_tokens HUGEINT NOT NULL,
    cache_write_tokens HUGEINT NOT NULL,
    reasoning_tokens HUGEINT NOT NULL,
    cost_pusd HUGEINT NOT NULL,
    booked_pusd HUGEINT NOT NULL,
    reported_pusd HUGEINT NOT NULL,
    wasted_pusd HUGEINT NOT NULL,
    avoided_pusd HUGEINT NOT NULL,
    priced_calls BIGINT NOT NULL,
    unpriced_calls BIGINT NOT NULL,
    unknown_calls BIGINT NOT NULL,
    priced_tokens HUGEINT NOT NULL
);
