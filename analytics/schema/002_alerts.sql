-- Minutes (UTC minutes since 1970) whose runs or calls were written, replaced or deleted since the counts
-- below were last brought up to date. Whoever changes `runs` or `calls` writes the minutes of the old rows
-- and of the new ones here, in the same transaction (analytics.slo_events.touch).
CREATE TABLE touched_minutes (
    minute INTEGER NOT NULL
);

-- What each SLO's counts were built from; another definition rebuilds them.
CREATE TABLE slo_definitions (
    slo VARCHAR NOT NULL,
    definition VARCHAR NOT NULL
);

-- One row an SLO and group of its `group_by`; `labels`: JSON object of column to value (null: none).
CREATE TABLE slo_series (
    series INTEGER NOT NULL,
    slo VARCHAR NOT NULL,
    labels VARCHAR NOT NULL
);

-- Events by series and minute; rebuilt from `runs` and `calls` for touched minutes.
CREATE TABLE slo_minutes (
    series INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    good INTEGER NOT NULL,
    bad INTEGER NOT NULL,
    left_out INTEGER NOT NULL            -- running, incomplete, denied, or the measure is not known
);

-- Spend by tenant and minute of the last two days, kept the same way.
CREATE TABLE spend_minutes (
    tenant VARCHAR NOT NULL,
    minute INTEGER NOT NULL,
    cost_pusd BIGINT NOT NULL,
    unpriced INTEGER NOT NULL            -- calls whose cost is not known
);

-- One row an episode: from the first breach until resolved. Pending episodes that end are removed.
CREATE TABLE alerts (
    alert_id VARCHAR NOT NULL,           -- fingerprint-begin
    fingerprint VARCHAR NOT NULL,        -- Alertmanager's fingerprint of the labels
    state VARCHAR NOT NULL,              -- pending, firing, resolved
    labels VARCHAR NOT NULL,             -- JSON: identity only
    annotations VARCHAR NOT NULL,        -- JSON: values, words, links
    pending_ns BIGINT NOT NULL,
    firing_ns BIGINT,
    resolved_ns BIGINT
);

-- The outbox: one row an episode, status and target, written together with the change of state.
CREATE TABLE deliveries (
    alert_id VARCHAR NOT NULL,
    status VARCHAR NOT NULL,             -- firing, resolved
    target VARCHAR NOT NULL,
    state VARCHAR NOT NULL,              -- pending, delivered, failed
    created_ns BIGINT NOT NULL,
    next_ns BIGINT,                      -- when to send (again); null: never
    attempts INTEGER NOT NULL,           -- since the last success
    sent INTEGER NOT NULL,               -- successes, re-sends included
    last_ns BIGINT,                      -- last attempt
    detail VARCHAR NOT NULL,             -- what the target answered last
    payload VARCHAR                      -- what was posted last, exactly
);

-- Circuit breaker of each target.
CREATE TABLE alert_targets (
    target VARCHAR NOT NULL,
    failures INTEGER NOT NULL,           -- in a row
    open_until_ns BIGINT NOT NULL,       -- nothing is sent before; 0: closed
    last_ok_ns BIGINT,
    detail VARCHAR NOT NULL
);

-- What Alertmanager (or our own webhook) told us it sent: one row a notification and alert in it.
CREATE TABLE notifications (
    notification VARCHAR NOT NULL,       -- hash of group key, status, fingerprints and starts: repeats are one
    fingerprint VARCHAR NOT NULL,
    status VARCHAR NOT NULL,             -- firing, resolved
    receiver VARCHAR NOT NULL,
    starts_at VARCHAR NOT NULL,
    first_ns BIGINT NOT NULL,
    last_ns BIGINT NOT NULL,
    payload VARCHAR NOT NULL
);
