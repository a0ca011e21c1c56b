"""Stores for tests and for looking at pages: an empty one and one full of synthetic runs, always the same."""

import random
from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path

import pyarrow as pa

from analytics import openslo
from analytics.alert_settings import AlertSettings, Target
from analytics.evaluate import evaluate
from analytics.pricing.book import PriceBook
from analytics.pricing.entries import ModelEntry, ToolEntry
from analytics.slo import Slo
from collector.store import Cursor, Store, insert
from tests.scenarios import AGENTS, SCENARIOS, large, plain
from tests.traces import HOUR, PRICES_PUSD, SECOND, Rows, Trace

DAY = 24 * HOUR
DEMO_NOW_NS = 1795186800 * SECOND  # 2026-11-20T15:00:00Z

HOSTILE = (
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "\x1b[31mred\x1b[0m agent",
    "\u202emalicious-\u05e1\u05d5\u05db\u05df \u0648\u0643\u064a\u0644",
    "an-agent-whose-name-goes-on-and-on-" + "and-on-" * 24 + "end",
)


def write(cursor: Cursor, rows: Rows) -> None:
    """Insert all rows, one table at a time."""
    for table, values in rows.tables.items():
        schema = cursor.sql(f"SELECT * FROM {table} LIMIT 0").to_arrow_table().schema
        insert(cursor, table, pa.Table.from_pylist(values, schema=schema))


def _events(rows: Rows, runs: int) -> None:
    """The ledger beside the stored spans."""
    for outcome, reason, items in (
        ("rejected", "zero_trace_id", 12),
        ("rejected", "too_old", 3),
        ("deduplicated", "same_span", 640),
        ("conflicting", "other_content", 2),
        ("repaired", "invalid_utf8:name", 5),
        ("dropped", "too_deep", 4),
    ):
        hour = pa.scalar((DEMO_NOW_NS // HOUR) * HOUR // 1000, pa.timestamp("us")).as_py()
        rows.add(
            "ingest_events",
            batch=DEMO_NOW_NS // 10**6,
            hour=hour,
            signal="traces",
            outcome=outcome,
            reason=reason,
            items=items,
        )
    for key, count in (
        ("gen_ai.input.messages", 1840),
        ("gen_ai.output.messages", 1790),
        ("http.url", 312),
        ("<b>key</b>", 1),
    ):
        rows.add("dropped_keys", key=key, values_dropped=count)


def empty_store(path: Path) -> Store:
    """A migrated store without a single row."""
    store = Store(path)
    store.migrate("collector")
    store.migrate("analytics")
    return store


def demo_store(path: Path, runs: int = 200, *, now_ns: int = DEMO_NOW_NS, large_run_spans: int = 0) -> Store:
    """A store with `runs` runs over the nine days before `now_ns`, the newest first to end at it.

    Four tenants, four agents and some with hostile names, four priced models, unpriced and unknown calls,
    loops, sub-agents, derived and denied tool calls, stuck, running and failed runs, quarantined spans.
    `large_run_spans` adds one run with about that many spans (`large-run` is its agent).
    """
    rng, rows, models = random.Random(7), Rows(), list(PRICES_PUSD)
    for number in reversed(range(runs)):
        age = int(9 * DAY * (number / max(runs, 1)) ** 1.6) + rng.randint(40, 90) * SECOND
        trace = Trace(
            rows=rows,
            rng=rng,
            number=runs - 1 - number,
            start_ns=now_ns - age - rng.randint(0, 999) * 10**6,
            tenant=rng.choice(["acme", "acme", "globex", "initech", "\u0634\u0631\u0643\u0629"]),
            agent=rng.choice(list(AGENTS)) if number % 23 != 4 else HOSTILE[number // 23 % len(HOSTILE)],
            model=rng.choice(models),
            environment=rng.choice(["production", "production", "staging"]),
            user=f"u-{rng.randint(1, 30)}",
        )
        if number in (1, 2):
            SCENARIOS[0](trace)
        else:
            SCENARIOS.get(number % 29 or -1, plain)(trace)
    if large_run_spans:
        trace = Trace(rows, rng, runs, now_ns - HOUR, "acme", "large-run", "gpt-5-mini")
        large(trace, large_run_spans)
    if runs:
        _events(rows, runs)
        for job in ("runs", "findings"):
            rows.add("watermarks", job=job, batch=now_ns // 10**6, finished_ns=now_ns - SECOND)
    store = empty_store(path)
    with store.transaction() as cursor:
        write(cursor, rows)
    return store


def demo_alerting(store: Store, now_ns: int = DEMO_NOW_NS) -> tuple[tuple[Slo, ...], AlertSettings]:
    """The shipped SLOs and two targets, evaluated over the demo store: budgets burn, loops and spending alert.

    One target took everything, the other is down; the first receiver confirmed what it was told.
    """
    with resources.as_file(resources.files("analytics").joinpath("data", "slos")) as folder:
        slos = openslo.load(folder)
    settings = AlertSettings(
        targets=(
            Target("alertmanager", "alertmanager", "http://127.0.0.1:9093"),
            Target("ops-webhook", "webhook", "https://hooks.example.com/agents"),
        ),
        daily_spend_usd={"acme": Decimal("0.50"), "*": Decimal(50)},
        finding_minutes=600,
    )
    evaluate(store, slos, settings, now_ns - 120 * SECOND)
    with store.transaction() as c:
        c.execute(
            "UPDATE deliveries SET state = 'delivered', sent = 2, last_ns = ?, next_ns = NULL, detail = '200 OK', "
            'payload = \'[{"labels": {"alertname": "<script>alert(1)</script>"}}]\' WHERE target = \'alertmanager\'',
            [now_ns - 60 * SECOND],
        )
        c.execute(
            "UPDATE deliveries SET attempts = 4, last_ns = ?, detail = 'connection refused' "
            "WHERE target = 'ops-webhook'",
            [now_ns - 30 * SECOND],
        )
        c.execute("INSERT INTO alert_targets VALUES ('alertmanager', 0, 0, ?, '200 OK')", [now_ns - 60 * SECOND])
        until = now_ns + 90 * SECOND
        c.execute("INSERT INTO alert_targets VALUES ('ops-webhook', 5, ?, NULL, 'connection refused')", [until])
    return slos, settings


def demo_book() -> PriceBook:
    """The price list under negotiated prices: of a model, of one tenant's long batches, and of a search tool."""
    usd = {"input": Decimal("0.20"), "cache_read": Decimal("0.02"), "output": Decimal("1.60")}
    long = {"input": Decimal(5), "output": Decimal(18)}
    model, tenant = "claude-sonnet-4-5*", "acme"
    return PriceBook.seeded(
        [
            ModelEntry("gpt-5-mini*", usd, provider="openai", valid_from=date(2026, 1, 1), valid_to=date(2026, 12, 31)),
            ModelEntry(model, long, "anthropic", tenant, context="batch", above_input_tokens=200_000),
            ToolEntry("web_search", {"call": Decimal("0.01"), "result_bytes": Decimal("0.02")}, server="search-*"),
        ]
    )


def a_run_id(store: Store, where: str) -> str:
    """The id of the newest run for which the SQL condition `where` holds."""
    with store.cursor() as c:
        found = c.execute(f"SELECT run_id FROM runs WHERE {where} ORDER BY started_ns DESC LIMIT 1").fetchall()
    return str(found[0][0])
