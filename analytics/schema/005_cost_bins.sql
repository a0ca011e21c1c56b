-- Calls summed by minute, or by hour where they are older than two hours, for questions about costs that do not name
-- single runs. Kept by analytics.cost_bins; what is not in here yet is read from `calls`.
CREATE TABLE cost_bins (
    minute INTEGER NOT NULL,             -- the first one (UTC minutes since 1970)
    minutes INTEGER NOT NULL,            -- 1 or 60
    call_group INTEGER NOT NULL,
    calls BIGINT NOT NULL,
    errors BIGINT NOT NULL,
    priced BIGINT NOT NULL,
    unpriced BIGINT NOT NULL,
    unknown BIGINT NOT NULL,
    known_tokens HUGEINT,                -- of priced calls; like the sums below null where no call has a value
    input_tokens HUGEINT,
    output_tokens HUGEINT,
    cache_read_tokens HUGEINT,
    cache_write_tokens HUGEINT,
    reasoning_tokens HUGEINT,
    cost_pusd HUGEINT,
    booked_pusd HUGEINT,
    reported_pusd HUGEINT,
    wasted_pusd HUGEINT,
    avoided_pusd HUGEINT
);

-- One row, or none while nothing was summed: all calls of the minutes from `first_minute` until before `end_minute` are
-- in bins, except those of touched minutes; before `hours_until` in bins of an hour.
CREATE TABLE cost_bin_marks (
    first_minute INTEGER NOT NULL,
    hours_until INTEGER NOT NULL,
    end_minute INTEGER NOT NULL
);

-- Minutes whose calls were written, replaced or deleted since. Whoever changes `calls` writes the minutes of the old
-- rows and of the new ones here, in the same transaction (analytics.cost_bins.touch).
CREATE TABLE touched_cost_minutes (
    minute INTEGER NOT NULL,
    touched_ns BIGINT NOT NULL
);
INSERT INTO touched_cost_minutes SELECT DISTINCT start_ns // 60000000000, 0 FROM calls;
