-- What did calls cost, by any combination of group keys, and in total?
-- Descriptions are grouped first, calls by the number of their description; text comes back at the end. `$keys` are
-- the chosen group keys; the variable `columns` names those that differ from call to call (run_hi, run_lo, run_root,
-- step, user, session, owner, day, hour, offset_minutes, before: it started before `$split_ns`) and always `number`.
-- `cost_rows()` are the calls, each as a bin of its own, or bins (analytics.cost_bins), `cost_groups()` their
-- descriptions, `cost_runs()` the runs to name. A row that is not counted is a share of a call that counts elsewhere.
-- Runs can be counted from calls alone, where `$with_runs`. Sums of money stay NULL where no call has a value. One row
-- is the total over all groups.
WITH descriptions AS (
    SELECT
        call_group, kind,
        CASE WHEN list_contains($keys, 'dialect') THEN dialect END AS dialect,
        CASE WHEN list_contains($keys, 'tenant') THEN tenant END AS tenant,
        CASE WHEN list_contains($keys, 'agent') THEN agent END AS agent,
        CASE WHEN list_contains($keys, 'agent_version') THEN agent_version END AS agent_version,
        CASE WHEN list_contains($keys, 'service') THEN service END AS service,
        CASE WHEN list_contains($keys, 'service_version') THEN service_version END AS service_version,
        CASE WHEN list_contains($keys, 'environment') THEN environment END AS environment,
        CASE WHEN list_contains($keys, 'provider') THEN provider END AS provider,
        CASE WHEN list_contains($keys, 'model') THEN model END AS model,
        CASE WHEN list_contains($keys, 'tool_server') THEN tool_server END AS tool_server,
        CASE WHEN list_contains($keys, 'tool') THEN tool END AS tool
    FROM cost_groups()
    WHERE ($tenant IS NULL OR tenant = $tenant)
        AND ($agent IS NULL OR agent = $agent)
        AND ($environment IS NULL OR environment = $environment)
        AND ($service IS NULL OR service = $service)
        AND ($provider IS NULL OR provider = $provider)
        AND ($model IS NULL OR model = $model)
        AND ($tool_server IS NULL OR tool_server = $tool_server)
        AND ($tool IS NULL OR tool = $tool)
        AND ($agent_version IS NULL OR agent_version = $agent_version)
        AND ($service_version IS NULL OR service_version = $service_version)
        AND ($dialect IS NULL OR dialect = $dialect)
),
alike AS (
    SELECT *,
        min(call_group) OVER (PARTITION BY dialect, tenant, agent, agent_version, service, service_version,
            environment, provider, model, tool_server, tool) AS number
    FROM descriptions
),
numbered AS (SELECT *, min(call_group) OVER (PARTITION BY number, kind) AS part FROM alike),
-- Local time by quarter of an hour, because offsets of time zones are multiples of it; UTC needs none of this.
quarters AS (
    SELECT DISTINCT start_ns // 900000000000 AS quarter
    FROM calls
    WHERE $tz <> 'UTC' AND (list_contains($keys, 'day') OR list_contains($keys, 'hour'))
        AND start_ns >= $from_ns AND start_ns < $to_ns
),
clock AS (
    SELECT quarter, make_timestamp(quarter * 900000000) AS utc, utc AT TIME ZONE 'UTC' AT TIME ZONE $tz AS local_time
    FROM quarters
),
slots AS (
    SELECT quarter, CAST(local_time AS DATE) AS day,
        date_trunc('hour', local_time) - (local_time - utc) AS hour,
        date_diff('minute', utc, local_time) AS offset_minutes
    FROM clock
),
picked AS NOT MATERIALIZED (
    SELECT n.number, n.part, coalesce(s.offset_minutes, 0) AS offset_minutes,
        CASE WHEN $tz = 'UTC' THEN CAST(make_timestamp(c.start_ns // 1000) AS DATE) ELSE s.day END AS day,
        CASE WHEN $tz = 'UTC' THEN date_trunc('hour', make_timestamp(c.start_ns // 1000)) ELSE s.hour END AS hour,
        c.start_ns < $split_ns AS before,
        c.trace_hi AS run_hi, c.trace_lo AS run_lo, c.run_span AS run_root,
        c.* EXCLUDE (call_group)
    FROM cost_rows() c
    JOIN numbered n USING (call_group)
    LEFT JOIN slots s ON c.start_ns // 900000000000 = s.quarter
    WHERE c.start_ns >= $from_ns AND c.start_ns < $to_ns
        AND ($user IS NULL OR c."user" = $user)
        AND ($session IS NULL OR c.session = $session)
        AND ($owner IS NULL OR c.owner = $owner)
        AND ($step IS NULL OR c.step = $step)
        AND ($trace_hi IS NULL OR (c.trace_hi = $trace_hi AND c.trace_lo = $trace_lo AND c.run_span = $run_span))
),
sums AS (
    SELECT part, COLUMNS(lambda c: list_contains(getvariable('columns'), c)),
        sum(calls) AS calls, sum(errors) AS errors, sum(priced) AS priced, sum(unpriced) AS unpriced,
        sum(unknown) AS unknown, sum(COLUMNS('^(known|input|output|cache_read|cache_write|reasoning)_tokens$|_pusd$'))
    FROM picked
    GROUP BY ALL
),
picked_runs AS NOT MATERIALIZED (SELECT * FROM picked WHERE $with_runs),
run_counts AS (
    SELECT COLUMNS(lambda c: list_contains(getvariable('columns'), c)), count(*) AS runs
    FROM (
        SELECT DISTINCT COLUMNS(lambda c: list_contains(getvariable('columns'), c)),
            trace_hi, trace_lo, run_span
        FROM picked_runs
    )
    GROUP BY ALL
),
parts AS (SELECT DISTINCT part, kind FROM numbered),
both_counts AS (
    SELECT * FROM run_counts
    UNION ALL BY NAME
    SELECT sums.* EXCLUDE (part), parts.kind FROM sums JOIN parts USING (part)
    UNION ALL BY NAME
    SELECT NULL::UBIGINT AS run_hi, NULL::UBIGINT AS run_lo, NULL::UBIGINT AS run_root, NULL::INTEGER AS step,
        NULL::VARCHAR AS "user", NULL::VARCHAR AS session, NULL::VARCHAR AS owner, NULL::DATE AS day,
        NULL::TIMESTAMP AS hour, NULL::BIGINT AS offset_minutes, NULL::BOOLEAN AS before
    WHERE false
),
grouped AS MATERIALIZED (
    SELECT number, run_hi, run_lo, run_root, step, "user", session, owner, day, hour, offset_minutes, before,
        sum(runs) AS runs,
        sum(calls) FILTER (kind = 'llm.call') AS llm_calls,
        sum(errors) FILTER (kind = 'llm.call') AS llm_errors,
        sum(calls) FILTER (kind = 'tool.call') AS tool_calls,
        sum(priced) FILTER (kind = 'llm.call') AS priced_calls,
        sum(unpriced) FILTER (kind = 'llm.call') AS unpriced_calls,
        sum(unknown) FILTER (kind = 'llm.call') AS unknown_calls,
        sum(known_tokens) FILTER (kind = 'llm.call') AS priced_tokens,
        sum(COLUMNS('(input|output|read|write|reasoning)_tokens$|_pusd$'))
    FROM both_counts
    GROUP BY ALL
),
total AS (
    SELECT true AS is_total, sum(COLUMNS('_tokens$|_calls$|_errors$|_pusd$')),
        (SELECT count(*) FROM (SELECT DISTINCT trace_hi, trace_lo, run_span FROM picked_runs)) AS runs
    FROM grouped
),
answer AS (
    SELECT false AS is_total, g.* EXCLUDE (number, run_hi, run_lo, run_root), r.run_id AS run,
        d.* EXCLUDE (call_group, kind, number, part),
        to_json([r.run_id, CAST(g.step AS VARCHAR), g."user", g.session, d.dialect, d.tenant, d.agent, d.agent_version,
            d.service, d.service_version, d.environment, d.provider, d.model, d.tool_server, d.tool, g.owner]) AS place
    FROM grouped g
    JOIN numbered d ON d.call_group = g.number
    LEFT JOIN cost_runs() r ON r.trace_hi = g.run_hi AND r.trace_lo = g.run_lo AND r.run_span = g.run_root
),
page AS (
    SELECT * EXCLUDE (before), coalesce(CAST(hour AS VARCHAR), CAST(day AS VARCHAR), '') AS moment,
        -coalesce(cost_pusd, -1) AS cheap
    FROM answer
    WHERE $after_moment IS NULL OR (moment, cheap, place) > ($after_moment, $after_cheap::HUGEINT, $after_place)
    ORDER BY moment, cheap, place
    LIMIT $limit
)
SELECT * FROM total
UNION ALL BY NAME
SELECT * FROM page
ORDER BY is_total DESC, moment, cheap, place
