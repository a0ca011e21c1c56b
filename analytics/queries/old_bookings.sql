-- What the calls of the wanted traces were booked at.
SELECT trace_hi, trace_lo, span_id, call_hash, booked_pusd, booked_version, call_group, start_ns, aggregate
FROM calls SEMI JOIN wanted USING (trace_hi, trace_lo)
WHERE booked_pusd IS NOT NULL AND start_ns >= $first_ns AND start_ns <= $ended_ns
