"""Interning of descriptions: facets, identities and sources become integers.

An id, once committed, keeps its meaning for ever; a description may get several ids, because the cache in
front of the tables is bounded. Readers join by id and group by text, so that is harmless; who has the time to ask the
table first (`recall`) keeps it small.
"""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector.store import Cursor

Row = tuple[str | None, ...]

GENERATION = 16_384


class Dictionary:
    """One dictionary table: `table`(id, columns...). Used by one thread at a time.

    `clean` turns a raw row into the row that is stored (scrubbing); it runs only for rows not in the cache.
    """

    def __init__(self, table: str, id_column: str, columns: tuple[str, ...], clean: Callable[[Row], Row]) -> None:
        self.table, self.id_column, self.columns = table, id_column, columns
        self._clean = clean
        self._young: dict[Row, int] = {}
        self._old: dict[Row, int] = {}
        self._next = 0
        self._fresh: list[tuple[int, Row]] = []

    def load(self, cursor: Cursor) -> None:
        """Forget everything cached and continue after the highest committed id."""
        self._young, self._old, self._fresh = {}, {}, []
        query = f"SELECT coalesce(max({self.id_column}), -1) + 1 FROM {self.table}"
        self._next = cursor.execute(query).fetchall()[0][0]

    def recall(self, cursor: Cursor, rows: Iterable[Row]) -> None:
        """Learn from the table the ids of distinct rows that the cache does not hold. Rows as they are stored."""
        missing = [row for row in rows if row not in self._young and row not in self._old]
        if not missing or not self._next:
            return
        texts = [pa.array(c, pa.string()) for c in zip(*missing, strict=True)]
        cursor.register("missing", pa.table([pa.array(range(len(missing))), *texts], ["place", *self.columns]))
        same = " AND ".join(f"t.{c} IS NOT DISTINCT FROM m.{c}" for c in self.columns)
        query = f"SELECT place, min({self.id_column}) FROM {self.table} t JOIN missing m ON {same} GROUP BY place"
        for place, found in cursor.execute(query).fetchall():
            self._remember(missing[place], found)
        cursor.unregister("missing")

    def ids(self, rows: Iterable[Row]) -> npt.NDArray[np.int32]:
        """The id of each row; unseen rows get new ids and wait in `take_fresh`."""
        return np.fromiter((self._id(row) for row in rows), np.int32)

    def _id(self, row: Row) -> int:
        found = self._young.get(row)
        if found is None:
            found = self._old.get(row)
            if found is None:
                found = self._next
                self._next += 1
                self._fresh.append((found, self._clean(row)))
            self._remember(row, found)
        return found

    def _remember(self, row: Row, found: int) -> None:
        if len(self._young) >= GENERATION:
            self._old, self._young = self._young, {}
        self._young[row] = found

    def take_fresh(self) -> pa.Table | None:
        """Rows that must be inserted in the same transaction as the spans that use them."""
        if not self._fresh:
            return None
        ids, rows = zip(*self._fresh, strict=True)
        self._fresh = []
        columns = [pa.array(ids, pa.int32()), *(pa.array(c, pa.string()) for c in zip(*rows, strict=True))]
        return pa.table(columns, names=[self.id_column, *self.columns])
