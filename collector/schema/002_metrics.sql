-- Data points of metrics that count what calls count too: only to compare. Rows may repeat (a point that was sent
-- again): read the view.
CREATE TABLE metric_points (
    batch BIGINT NOT NULL,
    ingest_tenant VARCHAR,
    service VARCHAR NOT NULL,
    session VARCHAR,
    model VARCHAR,
    metric VARCHAR NOT NULL,
    field VARCHAR NOT NULL,              -- what it counts, named as the columns of spans; reported_usd, uncached_input_tokens
    series UBIGINT NOT NULL,             -- keyed hash of resource, metric and attributes
    cumulative BOOLEAN NOT NULL,
    start_ns BIGINT NOT NULL,
    end_ns BIGINT NOT NULL,
    value DOUBLE NOT NULL
);

-- What each series counted in all. A delta counts once for each interval; a cumulative value once for each start (a
-- later start is a counter that began anew), the latest one.
CREATE VIEW metric_sums AS
WITH once AS (
    SELECT ingest_tenant, series, start_ns, CASE WHEN cumulative THEN 0 ELSE end_ns END AS interval_ns,
        arg_max(value, end_ns) AS value, max(end_ns) AS end_ns,
        any_value(service) AS service, any_value(session) AS session,
        any_value(model) AS model, any_value(metric) AS metric, any_value(field) AS field
    FROM metric_points
    GROUP BY ALL
)
SELECT ingest_tenant, service, session, model, metric, field, sum(value) AS value,
    min(start_ns) AS first_ns, max(end_ns) AS last_ns
FROM once
GROUP BY ALL;
