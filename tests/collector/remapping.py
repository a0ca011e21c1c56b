"""Stores whose spans came in with some dialect tables, to be read again with others."""

import asyncio
from pathlib import Path
from typing import Any

from collector.dialects.engine import TABLES
from collector.dialects.tables import Tables
from collector.identity import Credential
from collector.ingest import Ingest
from collector.otlp.answers import Signal
from collector.store import Store
from tests.collector.spans import START_NS

OPEN = Credential("open", None, frozenset({"ingest"}))
EVER = (-(2**63), 2**63 - 1)
NOW_NS = START_NS + 60 * 10**9
LOG = "SELECT * FROM span_log ORDER BY span_id"

ACME = """
dialect = "acme"
rank = 5
[recognise]
scopes = ["acme.agents"]
[[kind]]
from = "acme.step"
is = { think = "llm.call", "do*" = "tool.call", run = "agent.run" }
[fields]
model = ["acme.model"]
provider = ["acme.provider"]
tool = ["acme.tool"]
agent = ["acme.agent"]
input_tokens = ["acme.tokens.in"]
output_tokens = ["acme.tokens.out"]
cache_read_tokens = ["acme.tokens.cached"]
reported_cost = ["acme.cost_usd"]
[values.provider]
inhouse = "acme-cloud"
[usage]
input = "exclusive"
"""
SPANS = (
    {"name": "run", "acme.step": "run", "acme.agent": "shopper", "acme.tokens.in": 35},
    {
        "name": "think", "acme.step": "think", "acme.model": "brain-1", "acme.provider": "inhouse",
        "acme.tokens.in": 10, "acme.tokens.out": 5, "acme.tokens.cached": 20, "acme.cost_usd": 0.25,
    },
    {"name": "do", "acme.step": "do_it", "acme.tool": "fetch", "code": 2, "message": "timeout"},
    {"name": "rest", "acme.prompt": "what was said"},
)  # fmt: skip


def filled(path: Path, *bodies: tuple[Signal, bytes], tables: Tables = TABLES, credential: Credential = OPEN) -> Store:
    """A store that took these requests in with these tables."""

    made = Store(path)
    made.migrate("collector")
    take_in(made, *bodies, tables=tables, credential=credential)
    return made


def take_in(store: Store, *bodies: tuple[Signal, bytes], tables: Tables, credential: Credential = OPEN) -> None:
    """Requests into a store."""

    async def send() -> None:
        ingest = Ingest(store, b"k" * 32, tables=tables, clock_ns=lambda: NOW_NS)
        ingest.start()
        for signal, body in bodies:
            await ingest.accept(signal, body, credential)
        await ingest.stop()

    asyncio.run(send())


def rows(store: Store, sql: str) -> list[dict[str, Any]]:
    """An answer."""
    with store.cursor() as c:
        answer: list[dict[str, Any]] = c.sql(sql).to_arrow_table().to_pylist()
        return answer
