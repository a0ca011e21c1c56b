-- The extent of the rows that a pass replaces: null where none of the wanted traces has a run yet.
SELECT min(first_ns) AS first_ns, max(ended_ns) AS ended_ns
FROM runs SEMI JOIN wanted USING (trace_hi, trace_lo)
