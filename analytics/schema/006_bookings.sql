-- What the tool is, as its emitter says: read, write, danger.
ALTER TABLE call_groups ADD COLUMN tool_class VARCHAR;

-- A cache of whole responses answered: the call costs nothing, and avoided what it would have cost.
ALTER TABLE calls ADD COLUMN cache_hit BOOLEAN DEFAULT false;

-- What stands for a reversed booking from then on: 0 where the call is none any more. Reasons: duplicate, aggregate,
-- changed, and moved (to the run of another trace).
ALTER TABLE booking_corrections ADD COLUMN rebooked_pusd BIGINT DEFAULT 0;
