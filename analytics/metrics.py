"""What /metrics counts: families as data, and the job that adds what is new to totals that never shrink.

A run and its calls are counted once: when the run is first seen in another status than `running` and nothing has
arrived for `SETTLE_NS`. Spans and outcomes of ingestion are counted once, by the batch that brought them. What later
changes a counted run shows in pages and reports, not here: a counter cannot take anything back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from analytics.runs import BATCH_NS
from collector.semconv import QUARANTINE, Flag
from collector.store import Cursor, Store

SETTLE_NS = 10 * 10**9  # the processes of one run export within seconds of each other
PASS_RUNS = 50_000  # new runs that a pass takes on
MAX_SERIES = 200  # of different keys in a family, by volume as they come; the rest is OTHER
OTHER = "_other"
SUM = "sum"  # the kind of the row that holds a histogram's sum
USD = 10**12  # in 10^-12 USD
SECOND = 10**9  # in ns


@dataclass(frozen=True)
class Family:
    """A metric. `keys` and `kinds` map labels to SQL over `source`; a histogram has `buckets` (in the exposed unit).

    `value` is what is summed, or observed where there are buckets, in units of which `unit` make one exposed.
    """

    name: str
    help: str
    source: str
    keys: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    value: str = "1"
    unit: int = 1
    buckets: tuple[float, ...] = ()


# Sources: new runs, the calls and findings of new runs, and spans and outcomes of new batches.
SOURCES = {
    "runs": "new_runs",
    "priced_runs": "(FROM new_runs WHERE cost_pusd IS NOT NULL)",
    "calls": "(FROM new_calls WHERE cost_pusd IS NOT NULL)",
    "llm": "(FROM new_calls WHERE kind = 'llm.call')",
    "tools": "(FROM new_calls WHERE kind = 'tool.call')",
    "tool_times": "(FROM new_calls WHERE kind = 'tool.call' AND NOT derived)",
    "danger": "(FROM new_calls WHERE kind = 'tool.call' AND tool_class = 'danger')",
    "timeouts": "(FROM new_calls WHERE kind = 'tool.call' AND error_reason = 'timeout')",
    "tokens": """(SELECT model, unnest(['prompt', 'completion']) AS type, unnest([input_tokens, output_tokens]) AS n
        FROM new_calls WHERE kind = 'llm.call')""",
    "parts": """(SELECT model, unnest(['input', 'cache_read', 'cache_write', 'output', 'reasoning']) AS part,
            unnest([greatest(input_tokens - coalesce(cache_read_tokens, 0) - coalesce(cache_write_tokens, 0), 0),
                cache_read_tokens, cache_write_tokens,
                greatest(output_tokens - coalesce(reasoning_tokens, 0), 0), reasoning_tokens]) AS n
        FROM new_calls WHERE kind = 'llm.call')""",
    "findings": "new_findings",
    "denials": "(FROM new_spans WHERE kind = 'policy.check' AND decision = 'deny')",
    "outbound": "(FROM new_spans WHERE dependency IS NOT NULL)",
    "arrivals": f"""(SELECT 'traces' AS signal, unnest(['accepted', 'late', 'quarantined', 'unclassified']) AS outcome,
            unnest([spans, late, quarantined, unclassified]) AS items
        FROM (SELECT count(*) AS spans, count_if(flags & {int(Flag.LATE)} <> 0) AS late,
            count_if(flags & {int(QUARANTINE)} <> 0) AS quarantined, count_if(mapping = 'none') AS unclassified
            FROM all_spans)
        UNION ALL SELECT signal, outcome, items FROM new_events)""",
}

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_LONG = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_DOLLARS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 50.0)
_STEPS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 100.0)
_AGENT, _TOOL, _MODEL = {"agent": "agent"}, {"tool": "tool"}, {"model": "model"}

FAMILIES = (
    Family("agent_runs", "Runs that ended, or got stuck, by their first such status.", "runs", _AGENT,
           {"status": "status"}),
    Family("agent_run_latency_seconds", "From the start of a run to its latest end.", "runs", _AGENT,
           value="ended_ns - started_ns", unit=SECOND, buckets=_LONG),
    Family("agent_steps", "Steps of a run.", "runs", _AGENT, value="steps", buckets=_STEPS),
    Family("run_cost_usd", "Cost of a run whose cost is known.", "priced_runs", _AGENT, value="cost_pusd", unit=USD,
           buckets=_DOLLARS),
    Family("tool_retries", "Tool calls that were tried again.", "runs", value="retries"),
    Family("tool_calls", "Attempts of tool calls.", "tools",
           {"tool": "tool", "server": "tool_server", "tenant": "tenant"}, {"status": "status"}),
    Family("tool_latency_seconds", "Duration of tool calls that were not only read from messages.", "tool_times", _TOOL,
           value="duration_ns", unit=SECOND, buckets=_SECONDS),
    Family("tool_timeouts", "Tool calls that ended in a timeout.", "timeouts"),
    Family("tool_cost_usd", "Cost of tool calls that have a price.", "tools", _TOOL, value="cost_pusd", unit=USD),
    Family("llm_tokens", "Tokens of model calls, cached and reasoning ones included.", "tokens", _MODEL,
           {"type": "type"}, value="n"),
    Family("llm_token_parts", "Tokens of model calls by disjoint parts; input and output are those in no other part.",
           "parts", _MODEL, {"part": "part"}, value="n"),
    Family("llm_cost_usd", "Cost of priced model calls.", "llm", _MODEL, value="cost_pusd", unit=USD),
    Family("cost_usd", "Cost of all priced calls.", "calls", {"tenant": "tenant"}, value="cost_pusd", unit=USD),
    Family("danger_tool_attempt", "Attempts of tool calls whose class is danger, denied ones too.", "danger", _TOOL),
    Family("breaker_triggered", "Findings of detectors.", "findings", {"rule": "rule", "agent": "agent"}),
    Family("policy_denied", "Policy checks that denied.", "denials", {"rule_id": "rule_id"}),
    Family("outbound_latency_seconds", "Duration of calls to named dependencies.", "outbound",
           {"dependency": "dependency"}, value="duration_ns", unit=SECOND, buckets=_SECONDS),
    Family("ingest_items", "What became of what arrived; late, quarantined and unclassified spans are accepted too.",
           "arrivals", {}, {"signal": "signal", "outcome": "outcome"}, value="items"),
)  # fmt: skip
_LAST_BATCH = """SELECT greatest((SELECT max(batch) FROM span_log WHERE batch > ?),
    (SELECT max(batch) FROM ingest_events WHERE batch > ?), ?)"""
_STILL_OPEN = "SELECT min(arrived_ns) FROM runs WHERE status = 'running' AND arrived_ns >= ?"
_KEY = "(trace_hi, trace_lo, run_span)"
# The first run of a trace is counted under 0 while it is the only one; with a second one it gets a key of its own.
_NEW_RUNS = f"""
CREATE TEMP TABLE new_runs AS
WITH ended AS (FROM runs WHERE arrived_ns >= ? AND arrived_ns <= ? AND status <> 'running'),
counted AS (FROM counted_runs WHERE (trace_hi, trace_lo) IN (SELECT (trace_hi, trace_lo) FROM ended))
SELECT * FROM ended r
WHERE {_KEY} NOT IN (SELECT {_KEY} FROM counted)
    AND NOT (run_span <> 0 AND (trace_hi, trace_lo, 0) IN (SELECT {_KEY} FROM counted)
        AND started_ns = (SELECT min(started_ns) FROM runs o WHERE o.trace_hi = r.trace_hi AND o.trace_lo = r.trace_lo))
ORDER BY arrived_ns LIMIT {PASS_RUNS}
"""
# Only what the families read, and between literal times: a wide table of calls takes 30 times as long.
_NEW_CALLS = f"""
CREATE TEMP TABLE new_calls AS
SELECT kind, tenant, model, tool, tool_server, tool_class, status, error_reason, derived, duration_ns, cost_pusd,
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens
FROM calls JOIN call_groups USING (call_group)
WHERE start_ns BETWEEN ? AND ? AND {_KEY} IN (SELECT {_KEY} FROM new_runs)
"""
_NEW_FINDINGS = f"""
CREATE TEMP TABLE new_findings AS
SELECT rule, agent FROM findings WHERE started_ns BETWEEN ? AND ? AND {_KEY} IN (SELECT {_KEY} FROM new_runs)
"""
_NEW_BATCHES = f"""
CREATE TEMP VIEW all_spans AS
    SELECT s.duration_ns, s.flags, f.kind, f.mapping, f.decision, f.rule_id, f.dependency
    FROM span_log s JOIN facets f USING (facet)
    WHERE s.batch > {{after}} AND s.batch <= {{upto}} AND s.flags & {int(Flag.SELF_CHECK)} = 0;
CREATE TEMP VIEW new_spans AS FROM all_spans WHERE flags & {int(QUARANTINE)} = 0;
CREATE TEMP VIEW new_events AS FROM ingest_events WHERE batch > {{after}} AND batch <= {{upto}}
"""
# Keys that a family has no room for become OTHER, and stay so: a series that moved into it would shrink.
_BOUND = f"""
CREATE TEMP TABLE bounded AS
WITH known AS (SELECT DISTINCT metric, keys FROM metric_totals),
asking AS (
    SELECT metric, keys, sum(value) FILTER (kinds <> ['{SUM}']) AS volume
    FROM new_values ANTI JOIN known USING (metric, keys) GROUP BY ALL
),
admitted AS (
    SELECT metric, keys FROM asking LEFT JOIN (SELECT metric, count(*) AS used FROM known GROUP BY ALL) USING (metric)
    QUALIFY row_number() OVER (PARTITION BY metric ORDER BY volume DESC, keys) <= {MAX_SERIES} - coalesce(used, 0)
)
SELECT metric, CASE WHEN k.keys IS NOT NULL THEN v.keys ELSE list_transform(v.keys, lambda k: '{OTHER}') END AS keys,
    kinds, sum(value)::HUGEINT AS value
FROM new_values v LEFT JOIN (FROM known UNION FROM admitted) k USING (metric, keys) GROUP BY ALL
"""
_ADD = """
MERGE INTO metric_totals t USING bounded b ON t.metric = b.metric AND t.keys = b.keys AND t.kinds = b.kinds
WHEN MATCHED THEN UPDATE SET value = t.value + b.value
WHEN NOT MATCHED THEN INSERT (metric, keys, kinds, value) VALUES (b.metric, b.keys, b.kinds, b.value)
"""


def count(store: Store, now_ns: int) -> int:
    """Add new runs, spans and outcomes to the totals, all in one transaction; the number of runs counted.

    The cost follows what is new. Never twice at once.
    """
    with store.transaction() as c:
        after, arrived_ns = _one(c, "SELECT batch, arrived_ns FROM metric_marks")
        (upto,) = _one(c, _LAST_BATCH, after, after, after)
        (read,) = _one(c, "SELECT coalesce(max(batch), -1) FROM watermarks WHERE job = 'runs'")
        settled_ns = min(now_ns - SETTLE_NS, read * BATCH_NS)
        c.execute(_NEW_RUNS, [arrived_ns, settled_ns])
        counted, newest_ns, *during_ns = _one(
            c, "SELECT count(*), max(arrived_ns), min(first_ns), max(ended_ns) FROM new_runs"
        )
        if not counted and upto == after:
            c.execute("DROP TABLE temp.new_runs")
            return 0
        c.execute(_NEW_CALLS, during_ns)
        c.execute(_NEW_FINDINGS, during_ns)
        c.execute(_NEW_BATCHES.format(after=after, upto=upto))
        counts = [sql for family in FAMILIES for sql in _values(family)]
        c.execute(f"CREATE TEMP TABLE new_values AS {' UNION ALL '.join(counts)}")
        c.execute(_BOUND)
        c.execute(_ADD)
        c.execute("INSERT INTO counted_runs SELECT trace_hi, trace_lo, run_span FROM new_runs")
        (open_ns,) = _one(c, _STILL_OPEN, arrived_ns)
        seen_ns = newest_ns if counted == PASS_RUNS else settled_ns
        c.execute("DELETE FROM metric_marks")
        c.execute(
            "INSERT INTO metric_marks VALUES (?, ?)",
            [upto, max(arrived_ns, min(seen_ns, seen_ns if open_ns is None else open_ns))],
        )
        for name in ("new_runs", "new_calls", "new_findings", "new_values", "bounded"):
            c.execute(f"DROP TABLE temp.{name}")
        for name in ("new_events", "new_spans", "all_spans"):
            c.execute(f"DROP VIEW temp.{name}")
    return int(counted)


def forget(store: Store) -> None:
    """Drop the marks of runs that retention has deleted: nothing of them can arrive any more."""
    with store.transaction() as c:
        c.execute("DELETE FROM counted_runs WHERE (trace_hi, trace_lo) NOT IN (SELECT (trace_hi, trace_lo) FROM runs)")


def totals(cursor: Cursor) -> dict[str, list[tuple[list[str], list[str], int]]]:
    """By family: (values of its keys, values of its kinds, total) in the units that are summed."""
    found: dict[str, list[tuple[list[str], list[str], int]]] = {family.name: [] for family in FAMILIES}
    for metric, keys, kinds, value in cursor.execute("FROM metric_totals ORDER BY ALL").fetchall():
        if metric in found:
            found[metric].append((keys, kinds, value))
    return found


def _values(family: Family) -> list[str]:
    """Queries for what is new of a family: metric, keys, kinds, value."""
    keys, kinds = (_labels(expressions.values()) for expressions in (family.keys, family.kinds))
    name, source = f"'{family.name}' AS metric, {keys} AS keys", f"{SOURCES[family.source]} GROUP BY 2, 3"
    added = f"coalesce(sum({family.value}), 0)::HUGEINT AS value"
    if not family.buckets:
        return [f"SELECT {name}, {kinds} AS kinds, {added} FROM {source}"]
    upper = "".join(f" WHEN {family.value} <= {round(b * family.unit)} THEN '{b}'" for b in family.buckets)
    return [
        f"SELECT {name}, [CASE{upper} ELSE '+Inf' END] AS kinds, count(*)::HUGEINT AS value FROM {source}",
        f"SELECT {name}, ['{SUM}'] AS kinds, {added} FROM {source}",
    ]


def _labels(expressions: Iterable[str]) -> str:
    return "[" + ", ".join(f"coalesce({e}, '')" for e in expressions) + "]::VARCHAR[]"


def _one(c: Cursor, query: str, *params: object) -> tuple[Any, ...]:
    return c.execute(query, list(params)).fetchall()[0]
