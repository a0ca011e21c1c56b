-- What became of what arrived, by hour of arrival, tenant, dialect and outcome?
-- Everything stored counts once as accepted; late, quarantined, unclassified and sampled are parts of it. `arrivals()` is
-- the answer to arrivals.sql. Without $senders all tenants and dialects are one.
WITH described AS (
    SELECT hour, signal, CASE WHEN $senders THEN tenant END AS tenant, CASE WHEN $senders THEN dialect END AS dialect,
        sum(COLUMNS('^(accepted|late|foreign_tenant|time_absurd|usage_absurd|sampled)$')),
        coalesce(sum(accepted) FILTER (mapping = 'none'), 0) AS unclassified
    FROM arrivals()
    GROUP BY ALL
),
outcomes AS (
    SELECT hour, signal, tenant, dialect, unnest([
        {outcome: 'accepted', reason: NULL::VARCHAR, items: accepted},
        {outcome: 'late', reason: NULL, items: late},
        {outcome: 'quarantined', reason: 'foreign_tenant', items: foreign_tenant},
        {outcome: 'quarantined', reason: 'time_absurd', items: time_absurd},
        {outcome: 'quarantined', reason: 'usage_absurd', items: usage_absurd},
        {outcome: 'unclassified', reason: NULL, items: unclassified},
        {outcome: 'sampled', reason: NULL, items: sampled}
    ], recursive := true)
    FROM described
)
SELECT hour, signal, tenant, dialect, outcome, reason, items
FROM outcomes
WHERE items > 0
UNION ALL
SELECT epoch_ms(hour) // 3600000, signal, CASE WHEN $senders THEN ingest_tenant END, NULL, outcome, reason, sum(items)
FROM ingest_events
WHERE batch >= $from_ms AND batch < $to_ms
GROUP BY ALL
