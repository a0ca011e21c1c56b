-- What each emitter sent in a period, from `arrivals()` (the answer to arrivals.sql).
SELECT dialect, scope, scope_version, kind, mapping,
    sum(accepted) AS spans,
    sum(late) AS late,
    sum(foreign_tenant + time_absurd + usage_absurd) AS quarantined,
    sum(sampled) AS sampled,
    sum(clock_backwards) AS clock_backwards,
    sum(attributes_dropped) AS attributes_dropped,
    sum(usage_assumed) AS usage_assumed,
    sum(answered) AS answered,
    sum(used) AS used,
    sum(cache_told) AS cache_told,
    sum(reasoning_told) AS reasoning_told,
    sum(cacheable) AS cacheable
FROM arrivals()
GROUP BY ALL
