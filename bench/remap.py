"""How long it takes to read stored spans again: preview, apply, undo; and the peak memory of it.

    python -m bench.remap --spans 3000000     (needs about 1 GB of disk in --dir)

The spans are ten to a trace and of a framework that no table knows; a table of it comes, and all of them change: kind,
model, tokens, and the tenant out of a kept attribute.
"""

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from collector.dialects.tables import load_tables
from collector.remap import Remapped, preview, remap, undo
from collector.store import Store

EVER = (-(2**63), 2**63 - 1)
NOW_NS = 1795000000000000000
ACME = """
dialect = "acme"
rank = 5
[recognise]
scopes = ["acme.agents"]
[[kind]]
from = "acme.step"
is = { think = "llm.call", "do*" = "tool.call" }
[fields]
tenant = ["acme.customer"]
model = ["acme.model"]
provider = ["acme.provider"]
input_tokens = ["acme.tokens.in"]
output_tokens = ["acme.tokens.out"]
"""
DESCRIPTIONS = """
INSERT INTO facets BY NAME SELECT 0 AS facet, 'other' AS kind, 'raw' AS dialect, 'none' AS mapping, 'step' AS name,
    'internal' AS span_kind, 'ok' AS status;
INSERT INTO identities BY NAME SELECT i::INTEGER AS identity, 'session-' || i AS session FROM range(1000) t(i);
INSERT INTO sources BY NAME SELECT 0 AS source, 'bench' AS service, 'acme.agents' AS scope
"""
SPANS = """
INSERT INTO span_log BY NAME SELECT
    i // 8192 AS batch, 1::UBIGINT AS trace_hi, (i // 10)::UBIGINT AS trace_lo, (1 + i)::UBIGINT AS span_id,
    0::UBIGINT AS parent_id, 1795000000000000000 + i * 1000000 AS start_ns, 1000000 AS duration_ns, 0 AS facet,
    (i // 10 % 1000)::INTEGER AS identity, 0 AS source, 0 AS flags,
    COLUMNS(x -> false),
    printf('{"acme.step":"think","acme.model":"m-%d","acme.provider":"openai","acme.tokens.in":%d,"acme.tokens.out":%d,'
        || '"acme.customer":"c-%d"}', i % 7, i % 3000, i % 500, i // 10 % 50) AS attributes
FROM range($begin, $end) t(i)
"""
CHUNK = 500_000


def fill(store: Store, count: int) -> None:
    """Spans as they are stored while no table knows them."""
    store.migrate("collector")
    with store.cursor() as c:
        columns = [row[0] for row in c.execute("DESCRIBE span_log").fetchall()]
        unset = [name for name in columns[columns.index("input_tokens") :] if name != "attributes"]
        nothing = ", ".join(f"{0 if name.endswith(('hash', 'shape')) else -1} AS {name}" for name in unset)
        c.execute(DESCRIPTIONS)
        for begin in range(0, count, CHUNK):
            bounds = {"begin": begin, "end": min(begin + CHUNK, count)}
            c.execute(SPANS.replace("COLUMNS(x -> false)", nothing), bounds)
    store.checkpoint()


def main() -> None:
    """Fill a store, then time the three acts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=3_000_000)
    parser.add_argument("--dir", type=Path, default=None)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="remap-", dir=args.dir))
    try:
        store = Store(folder / "bench.duckdb")
        fill(store, args.spans)
        (folder / "acme.toml").write_text(ACME)
        tables = load_tables(folder)
        acts: dict[str, Callable[[], Remapped]] = {
            "preview": lambda: preview(store, tables, *EVER),
            "apply": lambda: remap(store, tables, *EVER, actor="bench", now_ns=NOW_NS),
            "undo": lambda: undo(store, 1, actor="bench", now_ns=NOW_NS),
        }
        for name, act in acts.items():
            began = time.monotonic()
            done = act()
            print(f"{name}: {time.monotonic() - began:.1f} s, {done.changed_spans:,} of {done.spans:,} spans changed")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"peak memory {peak / 1024:,.0f} MiB")
        store.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
