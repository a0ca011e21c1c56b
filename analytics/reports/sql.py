"""Questions in SQL, read only, and copies of the store that other DuckDB versions open."""

import re
import secrets
import threading
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from analytics.reports.values import BadQuestion, moment
from collector.store import Cursor, DatabaseError, Store

MAX_ROWS = 10_000
MAX_SECONDS = 60.0
READING = {"SELECT", "EXPLAIN"}  # FROM, DESCRIBE, SHOW, SUMMARIZE and VALUES are SELECT too

# The oldest DuckDB that opens a snapshot.
SNAPSHOT_FORMAT = "v1.5.0"


class Table(TypedDict):
    """An answer in SQL's own columns; `truncated` says that there are more rows than items."""

    columns: list[str]
    items: list[dict[str, Any]]
    truncated: bool
    next_cursor: None
    as_of: str


def ask(store: Store, now_ns: int, query: str, *, limit: int = MAX_ROWS, max_seconds: float = MAX_SECONDS) -> Table:
    """The answer to one reading statement. It sees one state of the store and can change nothing.

    Raises BadQuestion with what the database says about the query, or if it takes longer than `max_seconds`.
    """
    with store.cursor() as c:
        timer = threading.Timer(max_seconds, c.interrupt)
        timer.start()
        try:
            _require_one_reading(c, query)
            c.execute("BEGIN TRANSACTION READ ONLY")
            reader = c.sql(query).limit(limit + 1).to_arrow_table()
        except DatabaseError as e:
            raise BadQuestion("query", _told(e, max_seconds)) from e
        finally:
            timer.cancel()
    rows = reader.slice(0, limit).to_pylist()
    items = [{name: _plain(value) for name, value in row.items()} for row in rows]
    truncated = reader.num_rows > limit
    return {
        "columns": reader.column_names,
        "items": items,
        "truncated": truncated,
        "next_cursor": None,
        "as_of": moment(now_ns),
    }


def snapshot(store: Store) -> Path:
    """Write a copy of the whole store, of one moment, that DuckDB 1.5 and later open; returns where it is.

    It lies in the folder `snapshots` beside the store: the caller moves it.
    """
    path = store.path.parent / "snapshots" / f"{secrets.token_hex(8)}.duckdb"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    name = f"copy_{path.stem}"
    with store.cursor() as c:
        source = str(c.execute("SELECT current_database()").fetchall()[0][0])
        c.execute(f"ATTACH '{_quoted(path)}' AS {name} (STORAGE_VERSION '{SNAPSHOT_FORMAT}')")
        try:
            c.execute(f'COPY FROM DATABASE "{source}" TO {name}')
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            c.execute(f"DETACH {name}")
    return path


def _require_one_reading(c: Cursor, query: str) -> None:
    statements = c.extract_statements(query)
    if len(statements) != 1:
        raise BadQuestion("query", f"query holds {len(statements)} statements: ask one at a time")
    if (kind := statements[0].type.name) not in READING:
        raise BadQuestion("query", f"{kind} is not a question: only SELECT, FROM, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN")


def _told(error: Exception, max_seconds: float) -> str:
    first = re.sub(r"^[A-Za-z ]*Error: ", "", str(error).strip()).strip()
    if "nterrupt" in first:
        return f"the query took longer than {max_seconds:.0f} s: narrow it, or take a snapshot and ask that"
    return first


def _plain(value: Any) -> Any:
    """Values that JSON has no form for: wide numbers and intervals as text or whole numbers, bytes in hex."""
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() and value.as_tuple().exponent == 0 else str(value)
        case bytes():
            return value.hex()
        case timedelta():
            return str(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {str(k): _plain(v) for k, v in value.items()}
    return value


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
