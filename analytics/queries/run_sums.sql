-- By emitter: runs whose topmost span tells token sums of its own, and how many of them are not what the run's calls add
-- up to. With sub-agents an emitter may mean its own calls alone, which is no defect: such runs are left out.
WITH told AS (
    SELECT f.dialect, o.scope, o.scope_version, s.input_tokens, s.output_tokens,
        r.input_tokens AS called_input, r.output_tokens AS called_output
    FROM spans s
    JOIN facets f USING (facet)
    JOIN sources o USING (source)
    JOIN runs r ON r.trace_hi = s.trace_hi AND r.trace_lo = s.trace_lo AND r.run_span IN (0, s.span_id)
    WHERE s.batch >= $from_ms AND s.batch < $to_ms AND s.flags & 16384 <> 0 AND s.flags & 2062 = 0
        AND s.parent_id IS NULL AND r.status IN ('ok', 'error') AND len(r.agents) = 0
)
SELECT dialect, scope, scope_version, count(*) AS told,
    count_if(input_tokens <> called_input OR output_tokens <> called_output) AS differing
FROM told
GROUP BY ALL
