-- Since when did the $runs newest runs that may be answered start, and the first span of any run since then?
SELECT min(started_ns) AS since_ns, min(first_ns) AS first_ns
FROM runs
WHERE started_ns >= (
    SELECT min(started_ns) FROM (
        SELECT started_ns FROM runs
        WHERE started_ns < $to_ns AND ($after_ns IS NULL OR started_ns <= $after_ns)
        ORDER BY started_ns DESC
        LIMIT $runs
    )
)
