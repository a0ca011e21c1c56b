-- Which agents, tenants and environments do runs name, most frequent first?
SELECT field, value
FROM (
    UNPIVOT (SELECT agent, tenant, environment FROM runs WHERE $tenant IS NULL OR tenant = $tenant)
    ON agent, tenant, environment INTO NAME field VALUE value
)
GROUP BY field, value
QUALIFY row_number() OVER (PARTITION BY field ORDER BY count(*) DESC, value) <= 200
ORDER BY field, count(*) DESC, value
