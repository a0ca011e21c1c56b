-- One row a run (product words: a run is the topmost agent.run of a trace with all below it).
-- Rebuilt per trace by the runs job: a trace's rows are deleted and written again together.
-- Money is BIGINT of 10^-12 USD. Key of a run everywhere: (trace_hi, trace_lo, run_span).
CREATE TABLE runs (
    run_id VARCHAR NOT NULL,             -- trace id in hex, or traceid-spanid where a trace holds several runs
    trace_hi UBIGINT NOT NULL,
    trace_lo UBIGINT NOT NULL,
    run_span UBIGINT NOT NULL,           -- 0: the only run of its trace; else the span id of the run
    trace_ids VARCHAR[] NOT NULL,
    root_name VARCHAR,
    agent VARCHAR,
    agents VARCHAR[] NOT NULL,           -- sub-agents, in order of first start
    agent_version VARCHAR,
    tenant VARCHAR NOT NULL,
    "user" VARCHAR,
    session VARCHAR,
    environment VARCHAR,
    service VARCHAR,
    service_version VARCHAR,
    client VARCHAR,
    dialect VARCHAR,
    status VARCHAR NOT NULL,             -- ok, error, running, stuck, incomplete
    error_reason VARCHAR,
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT NOT NULL,            -- latest end seen
    first_ns BIGINT NOT NULL,            -- earliest start of any of its spans and calls: bounds their rewriting
    first_batch BIGINT NOT NULL,         -- batch that brought its first span: bounds the next read
    arrived_ns BIGINT NOT NULL,          -- last arrival
    due_ns BIGINT,                       -- when the clock alone changes the status; null: never
    spans INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    llm_calls INTEGER NOT NULL,
    llm_errors INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    tool_errors INTEGER NOT NULL,
    tool_denied INTEGER NOT NULL,
    derived_tool_calls INTEGER NOT NULL,
    retries INTEGER NOT NULL,
    policy_checks INTEGER NOT NULL,
    policy_denials INTEGER NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_pusd BIGINT,                    -- null: there are calls and none is priced
    booked_pusd BIGINT,
    reported_pusd BIGINT,
    wasted_pusd BIGINT NOT NULL,
    avoided_pusd BIGINT NOT NULL,
    priced_calls INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL,
    unknown_calls INTEGER NOT NULL,
    priced_tokens BIGINT NOT NULL,
    findings INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,        -- spans left out of every total
    sampled BOOLEAN NOT NULL             -- the emitter says that not all spans were sent
);

-- Descriptions of calls, interned like facets: join by id, group by text.
CREATE TABLE call_groups (
    call_group INTEGER NOT NULL,
    kind VARCHAR NOT NULL,               -- llm.call or tool.call
    dialect VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL,
    agent VARCHAR,
    agent_version VARCHAR,
    service VARCHAR,
    service_version VARCHAR,
    environment VARCHAR,
    provider VARCHAR,
    model VARCHAR,
    service_tier VARCHAR,
    tool_server VARCHAR,
    tool VARCHAR
);

-- One row a leaf model call or logical tool call: what every total of money and tokens is summed from.
CREATE TABLE calls (
    trace_hi UBIGINT NOT NULL,
    trace_lo UBIGINT NOT NULL,
    run_span UBIGINT NOT NULL,
    span_id UBIGINT NOT NULL,
    call_hash UBIGINT,                   -- tool call id; tells the derived calls of one span apart
    call_group INTEGER NOT NULL,
    start_ns BIGINT NOT NULL,
    duration_ns BIGINT NOT NULL,
    step INTEGER NOT NULL,
    status VARCHAR NOT NULL,             -- ok, error, denied
    error_reason VARCHAR,
    derived BOOLEAN NOT NULL,            -- read from model messages
    aggregate BOOLEAN NOT NULL,          -- its usage was only told for several calls together
    "user" VARCHAR,
    session VARCHAR,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    cache_write_1h_tokens BIGINT,
    reasoning_tokens BIGINT,
    input_audio_tokens BIGINT,
    output_audio_tokens BIGINT,
    pricing VARCHAR NOT NULL,            -- priced, unpriced, unknown (model calls); priced, none (tool calls)
    cost_pusd BIGINT,
    booked_pusd BIGINT,
    reported_pusd BIGINT,
    wasted_pusd BIGINT NOT NULL,
    avoided_pusd BIGINT NOT NULL,
    price_version VARCHAR,
    booked_version VARCHAR
);

CREATE TABLE findings (
    finding_id VARCHAR NOT NULL,         -- stable: hash of rule, run and first evidence span
    trace_hi UBIGINT NOT NULL,
    trace_lo UBIGINT NOT NULL,
    run_span UBIGINT NOT NULL,
    run_id VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL,
    agent VARCHAR,
    rule VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,           -- high, medium, low
    evidence VARCHAR NOT NULL,           -- full, partial
    span_ids UBIGINT[] NOT NULL,
    subject VARCHAR,                     -- tool or model it is about
    occurrences INTEGER NOT NULL,
    wasted_pusd BIGINT NOT NULL,
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT NOT NULL,
    sentence VARCHAR NOT NULL,
    action VARCHAR NOT NULL
);

-- Traces that no row of `runs` is keyed by: part of a run that began in another trace, or quarantined altogether.
CREATE TABLE runless_traces (
    trace_hi UBIGINT NOT NULL,
    trace_lo UBIGINT NOT NULL,
    first_batch BIGINT NOT NULL
);

-- How far each job has read, in batches, and when.
CREATE TABLE watermarks (
    job VARCHAR NOT NULL,
    batch BIGINT NOT NULL,
    finished_ns BIGINT NOT NULL
);
