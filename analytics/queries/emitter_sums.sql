-- By emitter, from `checks` (the answer to emitter_checks.sql): runs whose topmost span tells sums, those whose calls add
-- up to others, and answered calls without usage.
SELECT dialect, scope, scope_version, sum(COLUMNS('^(told|differing|without_usage)$'))
FROM checks
GROUP BY ALL
