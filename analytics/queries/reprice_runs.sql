-- Sums of the runs of all traces with a call that a repricing changed, as analytics.cost.run_costs defines them. A run
-- with findings is due: what its findings wasted is computed anew with the book in force.
UPDATE runs SET
    cost_pusd = if(s.cost_pusd > 9223372036854775807, 9223372036854775807, s.cost_pusd)::BIGINT,
    booked_pusd = if(s.booked_pusd > 9223372036854775807, 9223372036854775807, s.booked_pusd)::BIGINT,
    wasted_pusd = least(s.wasted_pusd, 9223372036854775807)::BIGINT,
    avoided_pusd = least(s.avoided_pusd, 9223372036854775807)::BIGINT,
    priced_calls = s.priced_calls, unpriced_calls = s.unpriced_calls, unknown_calls = s.unknown_calls,
    priced_tokens = s.priced_tokens,
    due_ns = CASE WHEN runs.findings > 0 THEN 0 ELSE runs.due_ns END
FROM (
    SELECT trace_hi, trace_lo, run_span,
        coalesce(sum(cost_pusd), CASE WHEN NOT bool_or(kind = 'llm.call') THEN 0 END) AS cost_pusd,
        coalesce(sum(booked_pusd), CASE WHEN NOT bool_or(kind = 'llm.call') THEN 0 END) AS booked_pusd,
        sum(wasted_pusd) AS wasted_pusd,
        sum(avoided_pusd) AS avoided_pusd,
        count_if(kind = 'llm.call' AND pricing = 'priced')::INTEGER AS priced_calls,
        count_if(pricing = 'unpriced')::INTEGER AS unpriced_calls,
        count_if(pricing = 'unknown')::INTEGER AS unknown_calls,
        coalesce(sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0))
            FILTER (kind = 'llm.call' AND pricing = 'priced'), 0)::BIGINT AS priced_tokens
    FROM calls
    JOIN call_groups USING (call_group)
    WHERE (trace_hi, trace_lo) IN (SELECT (trace_hi, trace_lo) FROM reprice_changes WHERE reprice = $reprice)
    GROUP BY ALL
) s
WHERE runs.trace_hi = s.trace_hi AND runs.trace_lo = s.trace_lo AND runs.run_span = s.run_span
