-- Traces that tell of a model response in `responses` about the same time: two instrumentations may have seen one call.
-- An id that many traces share is no id of a response.
SELECT DISTINCT unnest(traces).trace_hi AS trace_hi, unnest(traces).trace_lo AS trace_lo
FROM (
    SELECT list(DISTINCT {'trace_hi': trace_hi, 'trace_lo': trace_lo}) AS traces
    FROM spans SEMI JOIN responses USING (response_hash)
    WHERE start_ns BETWEEN $from_ns AND $to_ns AND batch <= $upto AND flags & $self_check = 0
    GROUP BY response_hash
    HAVING count(DISTINCT (trace_hi, trace_lo)) BETWEEN 2 AND $most
)
