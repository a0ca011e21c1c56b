"""The one DuckDB file. The only module that imports duckdb; it knows no table by name."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from collector.errors import StoreError

Cursor = duckdb.DuckDBPyConnection
DatabaseError = duckdb.Error

IDLE_CACHE = "32MB"  # of blocks, while nobody asks
BUSY_CACHE = "64MB"  # between the parts of a large answer
MOMENT_S = 2.0  # how long to wait for nobody to ask


class Store:
    """An open store. One process owns the file; inside it any thread takes a cursor of its own.

    DuckDB commits are durable (WAL, one fdatasync each). A second execute on a cursor drops the first
    result, so a cursor belongs to one task and is never shared.
    """

    def __init__(self, path: Path, *, memory_limit: str = "1GB", threads: int | None = None) -> None:
        """Open or create the file at `path`.

        Raises StoreError if another process owns it or it cannot be read; the file is never overwritten.
        """
        self.path = path
        settings: dict[str, Any] = {
            "memory_limit": memory_limit,
            "checkpoint_threshold": "64MB",  # commits wait for a checkpoint: at 256 MB twice as long
            "arrow_output_version": "1.4",
            "temp_directory": str(path.parent / "tmp"),
            "TimeZone": "UTC",
        }
        if threads:
            settings["threads"] = threads
        try:
            self._root = duckdb.connect(str(path), config={"autoload_known_extensions": "false"})
            for name, value in settings.items():
                self._root.execute(f"SET {name} = '{value}'")
            # No query can reach a file but this one, its temporary files, and copies in `snapshots`.
            snapshots = str(path.parent / "snapshots").replace("'", "''")
            self._root.execute(f"SET allowed_directories = ['{snapshots}']")
            self._root.execute("SET enable_external_access = false")
        except duckdb.Error as e:
            raise StoreError(_explain(path, e)) from e
        self._memory_limit = memory_limit
        self._checkpoint = threading.Lock()
        self._gate = threading.Condition()
        self._open_cursors = 0

    @contextmanager
    def cursor(self) -> Iterator[Cursor]:
        """A cursor for one task; closed at the end."""
        with self._gate:
            cursor = self._root.cursor()
            self._open_cursors += 1
        try:
            yield cursor
        finally:
            cursor.close()
            with self._gate:
                self._open_cursors -= 1
                self._gate.notify_all()

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A cursor inside a transaction: committed (and so durable) at the end, rolled back on an error."""
        with self.cursor() as cursor:
            cursor.begin()
            try:
                yield cursor
            except BaseException:
                cursor.rollback()
                raise
            cursor.commit()

    def migrate(self, package: str) -> list[int]:
        """Apply the numbered files `NNN_name.sql` of `package`/schema that are not applied yet, each in one
        transaction with its record. Returns the numbers applied now.

        Raises StoreError if the store is newer than the code.
        """
        folder = resources.files(package).joinpath("schema")
        files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
        numbers = [int(f.name.split("_")[0]) for f in files]
        with self.cursor() as c:
            c.execute(
                "CREATE TABLE IF NOT EXISTS migrations "
                "(package VARCHAR, number INTEGER, name VARCHAR, applied_at TIMESTAMP DEFAULT now())"
            )
            rows = c.execute("SELECT number FROM migrations WHERE package = ?", [package]).fetchall()
        done = {row[0] for row in rows}
        if unknown := done - set(numbers):
            raise StoreError(
                f"{self.path} was written by a newer version ({package} migration {max(unknown)} is unknown here): "
                "install that version, or restore a backup made by this one"
            )
        applied = []
        for number, file in zip(numbers, files, strict=True):
            if number in done:
                continue
            with self.transaction() as c:
                c.execute(file.read_text())
                c.execute(
                    "INSERT INTO migrations (package, number, name) VALUES (?, ?, ?)", [package, number, file.name]
                )
            applied.append(number)
        return applied

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file; skipped quietly while another transaction is in the way."""
        if not self._checkpoint.acquire(blocking=False):
            return
        try:
            with self.cursor() as c:
                c.execute("CHECKPOINT")
        except duckdb.TransactionException:
            pass
        finally:
            self._checkpoint.release()

    def release_cache(self) -> bool:
        """Give the memory of cached blocks back at a moment when nobody uses the store; says whether one came."""
        return self._let_go(IDLE_CACHE, own=0, wait_s=MOMENT_S)

    def trim_cache(self) -> bool:
        """The same from inside a task that reads a lot and has just now no query open, if nobody else has a cursor."""
        return self._let_go(BUSY_CACHE, own=1, wait_s=0.0)

    def _let_go(self, cache: str, *, own: int, wait_s: float) -> bool:
        """Keep only so much while no more than `own` cursors are open.

        DuckDB keeps blocks up to its memory limit; lowering the limit for a moment is the one way to let go of them.
        """
        with self._gate:
            if not self._gate.wait_for(lambda: self._open_cursors <= own, wait_s):
                return False
            try:
                self._root.execute(f"SET memory_limit = '{cache}'")
            except duckdb.OutOfMemoryException:
                return False
            finally:
                self._root.execute(f"SET memory_limit = '{self._memory_limit}'")
            return True

    def wal_bytes(self) -> int:
        """Size of the write-ahead log."""
        wal = self.path.with_name(self.path.name + ".wal")
        return wal.stat().st_size if wal.exists() else 0

    def close(self) -> None:
        """Fold the log and close; nothing may use the store afterwards."""
        self.checkpoint()
        self._root.close()


def insert(cursor: Cursor, table: str, rows: pa.Table) -> None:
    """Append Arrow rows to a table, columns matched by name."""
    cursor.register("incoming", rows)
    cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
    cursor.unregister("incoming")


def _explain(path: Path, error: Exception) -> str:
    text = str(error)
    if "lock" in text.lower():
        return f"another process has {path} open: stop it, or ask it over its API"
    if "version number" in text:
        return f"{path} was written by another DuckDB version: {text.splitlines()[0]}"
    return f"cannot open {path}: {text.splitlines()[0]}. The file was not changed; restore a backup if it is damaged"
