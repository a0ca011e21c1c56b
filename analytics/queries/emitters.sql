-- What each emitter sent in a period, from `arrivals()` (the answer to arrivals.sql).
SELECT dialect, scope, scope_version, kind, mapping,
    sum(accepted) AS spans,
    sum(late) AS late,
    sum(foreign_tenant + time_absurd + usage_absurd) AS quarantined,
    sum(COLUMNS('^(sampled|clock_backwards|attributes_dropped|usage_assumed|answered|used|cache_told|'
        'reasoning_told|cacheable)$'))
FROM arrivals()
GROUP BY ALL
