"""Rows of `runs`, `calls` and `findings` with everything a test does not care about filled in."""

from typing import Any

import pyarrow as pa

from collector.store import Cursor, insert

_DEFAULTS = {pa.types.is_string: "", pa.types.is_list: [], pa.types.is_boolean: False}


def put(cursor: Cursor, table: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows; columns that they leave out are null, or zero and empty where null is not allowed."""
    schema = cursor.sql(f"SELECT * FROM {table} LIMIT 0").to_arrow_table().schema
    needed = {r[1] for r in cursor.execute(f"PRAGMA table_info('{table}')").fetchall() if r[3]}
    empty = {f.name: _empty(f.type) if f.name in needed else None for f in schema}
    insert(cursor, table, pa.Table.from_pylist([empty | row for row in rows], schema=schema))


def _empty(kind: pa.DataType) -> Any:
    return next((value for test, value in _DEFAULTS.items() if test(kind)), 0)


def run(started_ns: int, **values: Any) -> dict[str, Any]:
    """A run that succeeded within a second, of agent `bot` and tenant `acme`."""
    times = {"started_ns": started_ns, "ended_ns": started_ns + 10**9, "first_ns": started_ns}
    return {"run_id": "r", "status": "ok", "tenant": "acme", "agent": "bot", "cost_pusd": 0, **times} | values


def call(cursor: Cursor, start_ns: int, kind: str, **values: Any) -> dict[str, Any]:
    """A call; what describes it goes to a row of `call_groups` that is inserted here."""
    found = cursor.execute("SELECT count(*) FROM call_groups").fetchone()
    group = {"call_group": found[0] + 1 if found else 1, "kind": kind, "dialect": "d", "tenant": "acme"}
    columns = {r[1] for r in cursor.execute("PRAGMA table_info('call_groups')").fetchall()}
    put(cursor, "call_groups", [group | {k: v for k, v in values.items() if k in columns}])
    own = {k: v for k, v in values.items() if k not in columns}
    return {"call_group": group["call_group"], "start_ns": start_ns, "status": "ok", "pricing": "priced"} | own


def finding(ended_ns: int, **values: Any) -> dict[str, Any]:
    """A loop of agent `bot` that wasted a dollar."""
    what = {"rule": "loop", "tenant": "acme", "agent": "bot", "run_id": "r1", "finding_id": "f1"}
    return what | {"wasted_pusd": 10**12, "ended_ns": ended_ns, "sentence": "It called search 9 times."} | values
