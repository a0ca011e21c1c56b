-- What /metrics has counted, for good: nothing here shrinks when runs change or old data is deleted.
CREATE TABLE metric_totals (
    metric VARCHAR NOT NULL,
    keys VARCHAR[] NOT NULL,             -- label values that may be many; beyond a bound all of them are '_other'
    kinds VARCHAR[] NOT NULL,            -- label values of which there are few; of histograms the bucket, or 'sum'
    value HUGEINT NOT NULL               -- events, tokens, nanoseconds or 10^-12 USD
);

-- Runs that are in the totals; a run is counted once.
CREATE TABLE counted_runs (
    trace_hi UBIGINT NOT NULL,
    trace_lo UBIGINT NOT NULL,
    run_span UBIGINT NOT NULL
);

-- One row: how far spans were counted, and since when runs that are not counted yet have arrived.
CREATE TABLE metric_marks (
    batch BIGINT NOT NULL,
    arrived_ns BIGINT NOT NULL
);
INSERT INTO metric_marks VALUES (-1, -1);
