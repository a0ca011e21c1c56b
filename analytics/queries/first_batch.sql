-- The batch that brought the first span of any wanted trace, as far as earlier passes saw them.
SELECT min(first_batch) FROM (
    SELECT first_batch FROM runs SEMI JOIN wanted USING (trace_hi, trace_lo)
    UNION ALL
    SELECT first_batch FROM runless_traces SEMI JOIN wanted USING (trace_hi, trace_lo)
)
