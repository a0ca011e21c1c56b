"""What reading all dialects costs: ingest of one load with all tables, and with our own dialect's alone.

    python -m bench.dialects LOAD

LOAD is a file of bench.generate or of the black-box harness; with spans of our own dialect alone both readings give the
same rows. Groups of 16 requests are prepared and committed as the receiver does, without transport, by turns with one
set of tables and with the other.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from bench.load import bodies
from collector.backlog import Item
from collector.dialects.engine import TABLES
from collector.dialects.tables import Tables
from collector.identity import Credential
from collector.ingest import Ingest
from collector.store import Store

ROUNDS, GROUPS, REQUESTS = 6, 20, 16
OWN = replace(TABLES, dialects=tuple(d for d in TABLES.dialects if d.name in ("spanledger", "raw")))
SENDER = Credential("bench", None, frozenset())


def batched(things: list[Any], size: int) -> Iterator[list[Any]]:
    """The things in pieces."""
    return (things[i : i + size] for i in range(0, len(things), size))


def cpu_s(tables: Tables, groups: list[list[Item]], folder: Path) -> float:
    """CPU seconds to take the groups into a new store."""
    store = Store(folder / f"{time.time_ns()}.duckdb")
    store.migrate("collector")
    ingest = Ingest(store, b"k" * 32, tables=tables)
    began = time.process_time()
    for group in groups:
        for prepared in ingest._prepare(group):
            ingest._commit(prepared)
    took = time.process_time() - began
    store.close()
    return took


def main() -> None:
    """Print both throughputs and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("load", type=Path)
    requests = list(islice(bodies(parser.parse_args().load), ROUNDS * GROUPS * REQUESTS))
    items = [(spans, Item("traces", bytes(body), SENDER, None)) for spans, body in requests]  # type: ignore[arg-type]
    spans, total = 0, {"all": 0.0, "own": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(batched(items, GROUPS * REQUESTS)):
            groups = [[item for _, item in group] for group in batched(part, REQUESTS)]
            for name in ("all", "own") if number % 2 else ("own", "all"):
                total[name] += cpu_s(TABLES if name == "all" else OWN, groups, Path(folder))
            spans += sum(n for n, _ in part)
    every, own = (total[name] / spans * 1e6 for name in ("all", "own"))
    print(
        f"{spans:,} spans: {every:.2f} CPU s a million with all {len(TABLES.dialects)} dialects, {own:.2f} with our own"
    )
    print(f"all dialects cost {1 - own / every:.1%} of the throughput")


if __name__ == "__main__":
    main()
