-- What coding agents count themselves beside what their calls add up to: by tenant, service, model and field, over the
-- time that their counters cover.
WITH counted AS (
    SELECT coalesce(ingest_tenant, '') AS sender, service, model, field, sum(value) AS counted,
        min(first_ns) AS first_ns, max(last_ns) AS last_ns
    FROM metric_sums
    GROUP BY ALL
),
covered AS (
    SELECT sender, service, min(first_ns) AS first_ns, max(last_ns) AS last_ns FROM counted GROUP BY ALL
),
called AS (
    UNPIVOT (
        SELECT v.sender, v.service, g.model,
            sum(c.input_tokens)::DOUBLE AS input_tokens,
            sum(c.output_tokens)::DOUBLE AS output_tokens,
            sum(c.cache_read_tokens)::DOUBLE AS cache_read_tokens,
            sum(c.cache_write_tokens)::DOUBLE AS cache_write_tokens,
            sum(c.reasoning_tokens)::DOUBLE AS reasoning_tokens,
            sum(c.input_tokens - coalesce(c.cache_read_tokens, 0) - coalesce(c.cache_write_tokens, 0))::DOUBLE
                AS uncached_input_tokens,
            sum(c.reported_pusd) / 1e12 AS reported_usd
        FROM calls c
        JOIN call_groups g USING (call_group)
        JOIN covered v ON v.service = g.service AND v.sender IN ('', g.tenant)
            AND c.start_ns BETWEEN v.first_ns - 60000000000 AND v.last_ns
        WHERE g.kind = 'llm.call'
        GROUP BY ALL
    )
    ON input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, uncached_input_tokens,
        reported_usd
    INTO NAME field VALUE called
)
SELECT nullif(sender, '') AS tenant, service, model, field, counted, coalesce(called, 0) AS called,
    round(counted - coalesce(called, 0), 9) AS difference
FROM counted
LEFT JOIN called USING (sender, service, model, field)
ORDER BY abs(difference) DESC, service, model, field
