-- How are model calls priced, by hour of their start, tenant, dialect and model? `cost_rows()`: calls or bins of them
-- (analytics.cost_bins). Without $senders all tenants are one. Descriptions are numbered, for numbers are grouped faster
-- than texts.
WITH numbered AS (
    SELECT call_group, min(call_group) OVER (PARTITION BY CASE WHEN $senders THEN tenant END, dialect, provider, model) AS number
    FROM call_groups
    WHERE kind = 'llm.call'
),
sums AS (
    SELECT start_ns // 3600000000000 AS hour, number, sum(calls)::BIGINT AS llm_calls, sum(priced)::BIGINT AS priced_calls,
        sum(unpriced)::BIGINT AS unpriced_calls, sum(unknown)::BIGINT AS unknown_calls
    FROM cost_rows() JOIN numbered USING (call_group)
    WHERE start_ns >= $from_ns AND start_ns < $to_ns
    GROUP BY ALL
)
SELECT s.* EXCLUDE (number), CASE WHEN $senders THEN g.tenant END AS tenant, g.dialect, g.provider, g.model
FROM sums s JOIN call_groups g ON g.call_group = s.number
