-- Tool calls named in the model messages of the wanted traces.
SELECT batch, trace_hi, trace_lo, span_id, call_hash, tool, args_hash, args_shape, paging, result_hash,
    args_bytes, result_bytes, asked, answered, error_reason
FROM message_tool_calls SEMI JOIN wanted USING (trace_hi, trace_lo)
WHERE batch >= $first AND batch <= $upto
