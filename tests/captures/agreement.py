"""What spanledger makes of captures, beside the truth about them."""

import asyncio
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from genai_prices import Usage, calc_price

from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from collector.identity import Credential
from collector.ingest import Ingest
from collector.store import Store
from tests.collector.captures import SIGNALS, Scenario, content

NOW_NS = 1_796_500_000 * 10**9
OPEN = Credential("open", None, frozenset({"ingest"}))
Row = dict[str, Any]


def told(scenarios: Sequence[Scenario], folder: Path) -> dict[str, Row]:
    """What the tables say of each scenario after one pass over all of them, in the words of `true`."""
    store = Store(folder / "spanledger.duckdb")
    store.migrate("collector")
    store.migrate("analytics")
    owner: dict[tuple[int, int], str] = {}

    async def send() -> None:
        ingest = Ingest(store, b"k" * 32, clock_ns=lambda: NOW_NS)
        ingest.start()
        for scenario in scenarios:
            for signal in SIGNALS:
                for file in scenario.files(signal):
                    await ingest.accept(signal, content(file), OPEN)
            with store.cursor() as c:  # also those that are made of log records
                for trace in c.execute("SELECT DISTINCT trace_hi, trace_lo FROM spans").fetchall():
                    owner.setdefault(trace, str(scenario))
        await ingest.stop()

    asyncio.run(send())
    runner = Runner(store, PriceBook.seeded(), lambda: NOW_NS)
    while runner.run_pass(NOW_NS).behind:
        pass
    found: dict[str, tuple[list[Row], list[Row]]] = {str(s): ([], []) for s in scenarios}
    with store.cursor() as c:
        for place, table in enumerate(("runs", "calls JOIN call_groups USING (call_group)")):
            for row in c.sql(f"SELECT * FROM {table}").pl().to_dicts():
                if name := owner.get((row["trace_hi"], row["trace_lo"])):
                    found[name][place].append(row)
    store.close()
    return {name: _summary(*rows) for name, rows in found.items()}


def _summary(runs: list[Row], calls: list[Row]) -> Row:
    def total(column: str) -> int:
        return sum(r[column] or 0 for r in runs)

    models = [c for c in calls if c["kind"] == "llm.call"]
    return {
        "runs": len(runs),
        "failed_runs": sum(r["status"] == "error" for r in runs),
        "ended_runs": sum(r["status"] in ("ok", "error") for r in runs),
        "llm_calls_ok": total("llm_calls") - total("llm_errors"),
        "llm_errors": total("llm_errors"),
        "models": sorted(
            {c["model"].removeprefix("anthropic.") for c in models if c["status"] != "error" and c["model"]}
        ),
        **{c: total(c) for c in TOKENS},
        "tool_calls": total("tool_calls"),
        "tool_errors": total("tool_errors"),
        "tools": sorted(_plain(c["tool"] or "") for c in calls if c["kind"] == "tool.call"),
        "agents": sorted({a for r in runs for a in (r["agent"], *r["agents"]) if a}),
        "loops": total("findings") > 0,
        "cost_pusd": total("cost_pusd"),
    }


def _plain(tool: str) -> str:
    """A tool's name without the plug-in or server that frameworks put before it, and as models are told it."""
    return _BEFORE.sub("", tool.lower().replace(" ", "_"))


_BEFORE = re.compile(r"^(?:mcp_{1,2})?(?:weather|researcher)[-_]{1,2}(?=get_|lookup_|flaky_|researcher)")
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


def true(truth: Row) -> Row:
    """The same from the logs of model server, tools and runs. A stream that was not asked for its usage tells none."""
    runs = truth["runs"]
    usages = [c["usage"] for c in truth["calls"] if c.get("usage_sent")]
    return {
        "runs": len(runs),
        "failed_runs": sum(r["failed"] for r in runs),
        "ended_runs": len(runs),
        "llm_calls_ok": truth["llm_calls_ok"],
        "llm_errors": len(truth["llm_http_errors"]),
        "models": sorted(m.removeprefix("anthropic.") for m in truth["models_responded"]),  # Bedrock's vendor
        "input_tokens": sum(u["input"] for u in usages),
        "output_tokens": sum(u["output"] for u in usages),
        "cache_read_tokens": sum(u["cached"] for u in usages),
        "cache_write_tokens": sum(u["cache_write"] for u in usages),
        "reasoning_tokens": sum(u["reasoning"] for u in usages),
        "tool_calls": truth["tool_execution_count"],
        "tool_errors": truth["tool_errors"],
        "tools": sorted(_plain(t["name"]) for t in truth["tool_executions"]),
        "agents": sorted({a for r in runs for a in (r["agent"], *r.get("agents", ())) if a}),
        "loops": truth["loops"],
        "cost_pusd": sum(_cost_pusd(c) for c in truth["calls"] if c.get("usage_sent")),
    }


def _cost_pusd(call: Row) -> int:
    """What genai-prices asks for a call, in 10^-12 USD."""
    used = call["usage"]
    usage = Usage(
        input_tokens=used["input"],
        cache_read_tokens=used["cached"],
        cache_write_tokens=used["cache_write"],
        output_tokens=used["output"],
    )
    provider = {"messages": "anthropic", "gemini": "google", "converse": "aws"}.get(call["api"], "openai")
    return round(calc_price(usage, call["response_model"], provider_id=provider).total_price * Decimal(10**12))


def differences(said: Row, truth: Row) -> dict[str, tuple[Any, Any]]:
    """What is not as it was: what is said and what is true. Requests that were tried again below what an
    instrumentation sees may be missing among the errors; that the last one failed is seen."""
    expected = true(truth)
    last_failed = any(e["n"] == truth["llm_http_requests"] for e in truth["llm_http_errors"])
    if last_failed <= said["llm_errors"] <= expected["llm_errors"]:
        expected["llm_errors"] = said["llm_errors"]
    return {key: (said[key], expected[key]) for key in expected if said[key] != expected[key]}
