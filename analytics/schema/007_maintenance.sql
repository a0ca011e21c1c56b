-- What maintenance.toml said over time, append-only: a row for each window that was declared or withdrawn.
CREATE TABLE maintenance_log (
    at_ns BIGINT NOT NULL,               -- when it was seen
    change VARCHAR NOT NULL,             -- declared, withdrawn
    first_minute INTEGER NOT NULL,       -- UTC minutes since 1970, half-open
    end_minute INTEGER NOT NULL,
    reason VARCHAR NOT NULL,
    declared_by VARCHAR NOT NULL,        -- as the file says; empty: it does not
    slos VARCHAR[] NOT NULL              -- patterns of names
);
