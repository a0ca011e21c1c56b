"""Interning of descriptions."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector import dimensions
from collector.dimensions import Dictionary
from collector.store import Store, insert


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store with the collector's tables."""
    opened = Store(tmp_path / "spanledger.duckdb")
    opened.migrate("collector")
    yield opened
    opened.close()


def identities() -> Dictionary:
    """The identities dictionary, storing rows as they are."""
    return Dictionary("identities", "identity", ("tenant", "user", "session", "run_ref", "client"), lambda row: row)


A, B = ("acme", None, None, None, None), ("acme", "ann", None, None, None)


def test_a_description_keeps_its_id(store: Store) -> None:
    """The same description gets the same id, and only unseen ones wait to be inserted."""
    d = identities()
    with store.transaction() as c:
        d.load(c)
        assert d.ids([A, B, A]).tolist() == [0, 1, 0]
        fresh = d.take_fresh()
        assert fresh is not None and len(fresh) == 2
        insert(c, "identities", fresh)
    assert d.ids([B]).tolist() == [1]
    assert d.take_fresh() is None


def test_ids_go_on_after_a_restart(store: Store) -> None:
    """A dictionary that was read anew never gives a committed id to another description."""
    test_a_description_keeps_its_id(store)
    d = identities()
    with store.cursor() as c:
        d.load(c)
    assert d.ids([B]).tolist() == [2]


def test_a_forgotten_description_is_found_in_the_table(store: Store) -> None:
    """Who asks the table first gives no description a second id, also where parts of it are missing."""
    test_a_description_keeps_its_id(store)
    d, new = identities(), ("acme", None, "s", None, None)
    with store.cursor() as c:
        d.load(c)
        d.recall(c, [B, new, A])
    assert d.ids([A, B, new]).tolist() == [0, 1, 2]
    fresh = d.take_fresh()
    assert fresh is not None and fresh["session"].to_pylist() == ["s"]


def test_the_cache_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many descriptions never fill memory: the least recent half is forgotten, recent ones keep their ids."""
    monkeypatch.setattr(dimensions, "GENERATION", 10)
    d = identities()
    with store.cursor() as c:
        d.load(c)
    first = d.ids([A])[0]
    for i in range(100):
        d.ids([(f"t{i}", None, None, None, None), A])
    assert d.ids([A])[0] == first
    assert len(d._young) + len(d._old) <= 20
