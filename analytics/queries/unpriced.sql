-- Which models have no price, or told no usage, and how much was called?
SELECT pricing, provider, model, count(*)::BIGINT AS calls,
    coalesce(sum(input_tokens), 0)::BIGINT AS input_tokens, coalesce(sum(output_tokens), 0)::BIGINT AS output_tokens,
    min(start_ns) AS first_ns, max(start_ns) AS last_ns
FROM calls
JOIN call_groups USING (call_group)
WHERE pricing IN ('unpriced', 'unknown') AND start_ns >= $from_ns AND start_ns < $to_ns
    AND ($tenant IS NULL OR tenant = $tenant)
GROUP BY ALL ORDER BY calls DESC, pricing, provider, model
LIMIT 1000
