-- What arrived, summed by hour of arrival, tenant and emitter, for the ledger of ingestion. Kept by
-- analytics.arrival_sums; what is not in here yet is read from the spans. The columns of queries/arrivals.sql.
CREATE TABLE arrival_sums (
    hour INTEGER NOT NULL,               -- UTC hours since 1970
    signal VARCHAR NOT NULL,
    tenant VARCHAR,
    dialect VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,
    scope_version VARCHAR,
    kind VARCHAR NOT NULL,
    mapping VARCHAR NOT NULL,
    accepted BIGINT NOT NULL,
    late BIGINT NOT NULL,
    foreign_tenant BIGINT NOT NULL,
    time_absurd BIGINT NOT NULL,
    usage_absurd BIGINT NOT NULL,
    sampled BIGINT NOT NULL,
    clock_backwards BIGINT NOT NULL,
    attributes_dropped BIGINT NOT NULL,
    usage_assumed BIGINT NOT NULL,
    answered BIGINT NOT NULL,
    used BIGINT NOT NULL,
    cache_told BIGINT NOT NULL,
    reasoning_told BIGINT NOT NULL,
    cacheable BIGINT NOT NULL
);

-- One row, or none while nothing was summed: spans until `batch` are in the sums as remaps until `place` have left them,
-- except those of touched hours.
CREATE TABLE arrival_marks (
    batch BIGINT NOT NULL,
    place BIGINT NOT NULL                -- of the collector's remapped_traces
);

-- Hours whose spans were deleted since. Whoever deletes spans writes here, in the same transaction.
CREATE TABLE touched_arrival_hours (
    hour INTEGER NOT NULL
);

-- Bins of costs of whole days, beside those of their hours; and the minute before which the last hour's are of ten minutes.
CREATE TABLE cost_days AS SELECT minute AS day, * EXCLUDE (minute, minutes) FROM cost_bins LIMIT 0;
ALTER TABLE cost_bin_marks ADD COLUMN tens_until INTEGER DEFAULT 0;

-- Checks of emitters that look at calls and runs beside their spans, in the bins and by the marks of costs: minutes of
-- the call's or the run's start. Kept by analytics.emitter_checks.
CREATE TABLE emitter_checks (
    minute INTEGER NOT NULL,
    minutes INTEGER NOT NULL,
    hour INTEGER NOT NULL,               -- of the span's arrival
    dialect VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,
    scope_version VARCHAR,
    told BIGINT NOT NULL,
    differing BIGINT NOT NULL,
    without_usage BIGINT NOT NULL
);
INSERT INTO touched_cost_minutes
SELECT start_ns // 60000000000, 0 FROM calls UNION SELECT started_ns // 60000000000, 0 FROM runs;
