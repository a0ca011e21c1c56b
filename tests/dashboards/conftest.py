"""The pages over the demo store and over an empty one."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from collector.settings import Settings
from collector.store import Store
from dashboards.app import Rules, create_app
from tests.stores import DEMO_NOW_NS, demo_alerting, demo_book, demo_store, empty_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The demo store."""
    store = demo_store(tmp_path_factory.mktemp("demo") / "spanledger.duckdb", large_run_spans=2000)
    yield store
    store.close()


@pytest.fixture(scope="session")
def pages(store: Store) -> Iterator[TestClient]:
    """A client of the pages over the demo store; the clock stands still."""
    rules = Rules(*demo_alerting(store))
    app = create_app(store, Settings(), rules=rules, book=demo_book, clock=lambda: DEMO_NOW_NS)
    with TestClient(app, base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="session")
def empty_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of the pages over a store without a row."""
    store = empty_store(tmp_path_factory.mktemp("empty") / "spanledger.duckdb")
    with TestClient(create_app(store, Settings(), clock=lambda: DEMO_NOW_NS), base_url="http://localhost") as client:
        yield client
    store.close()
