-- How many spans have the jobs not read yet, and when did the oldest of them arrive?
SELECT count(*) AS spans, min(batch) * 1000000 AS oldest_ns
FROM spans
WHERE batch > coalesce((SELECT min(batch) FROM watermarks), 0)
