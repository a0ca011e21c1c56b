-- Which agents, tenants and environments do runs name, most frequent first? One column at a time: what repeats is counted
-- faster than it is put together.
WITH named AS (
    SELECT 'agent' AS field, agent AS value, count(*) AS runs FROM runs
    WHERE $tenant IS NULL OR tenant = $tenant GROUP BY agent
    UNION ALL
    SELECT 'tenant', tenant, count(*) FROM runs WHERE $tenant IS NULL OR tenant = $tenant GROUP BY tenant
    UNION ALL
    SELECT 'environment', environment, count(*) FROM runs WHERE $tenant IS NULL OR tenant = $tenant GROUP BY environment
)
SELECT field, value
FROM named
WHERE value IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY field ORDER BY runs DESC, value) <= 200
ORDER BY field, runs DESC, value
