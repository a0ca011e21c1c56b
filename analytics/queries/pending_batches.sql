-- Whole batches after $after, as many as hold about $spans spans: where a pass ends and what waits behind it.
WITH sizes AS (
    SELECT batch, count(*) AS spans FROM spans WHERE batch > $after GROUP BY batch
), waiting AS (
    SELECT batch, spans, sum(spans) OVER (ORDER BY batch) - spans AS before FROM sizes
)
SELECT
    max(batch) FILTER (before < $spans) AS upto,
    count(*) FILTER (before < $spans) AS batches,
    coalesce(sum(spans) FILTER (before < $spans), 0)::BIGINT AS spans,
    min(batch) AS oldest,
    max(batch) AS newest
FROM waiting
