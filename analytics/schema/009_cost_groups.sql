-- Which id bins of costs name a description by, where it has several: the first of them.
CREATE TABLE first_groups (
    call_group INTEGER NOT NULL,
    first_group INTEGER NOT NULL
);
