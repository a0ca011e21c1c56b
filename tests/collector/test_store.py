"""The store gives memory back."""

from pathlib import Path

import pytest

from collector.store import Cursor, Store

CACHED = "SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory()"


def number(cursor: Cursor, query: str) -> int:
    """The one number that a query gives."""
    return int(cursor.execute(query).fetchall()[0][0])


def test_the_cache_of_blocks_is_given_back_when_nobody_uses_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 MB of read blocks are let go of once no cursor is open, and the memory limit is what it was."""
    monkeypatch.setattr("collector.store.MOMENT_S", 0.01)
    store = Store(tmp_path / "s.duckdb", memory_limit="300MB")
    with store.cursor() as c:
        limit = "SELECT current_setting('memory_limit')"
        before = c.execute(limit).fetchall()
        c.execute("CREATE TABLE t AS SELECT hash(i) AS h FROM range(12_500_000) r(i)")
        store.checkpoint()
        c.execute("SELECT max(h) FROM t").fetchall()
        full = number(c, CACHED)
        assert not store.release_cache(), "somebody uses the store"
        with store.cursor():
            assert not store.trim_cache(), "somebody else uses the store"
        assert store.trim_cache()
        assert number(c, CACHED) <= 80_000_000 < 90_000_000 < full
        assert c.execute(limit).fetchall() == before
        c.execute("SELECT max(h) FROM t").fetchall()
    assert store.release_cache()
    with store.cursor() as c:
        assert number(c, CACHED) <= 64_000_000 < 90_000_000 < full
        assert c.execute(limit).fetchall() == before
        assert number(c, "SELECT count(*) FROM t") == 12_500_000
    store.close()
