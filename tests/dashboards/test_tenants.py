"""A key that is bound to a tenant: it sees that tenant's data, and nothing that could show another's."""

from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from collector.identity import SCOPES, Credential, Keys
from collector.settings import Settings
from collector.store import Store
from collector.telemetry import REGISTRY
from dashboards.api import ROUTERS
from dashboards.app import Rules, create_app
from dashboards.door import OPEN_FOLDER, OPEN_PATHS, TENANT_LISTINGS, TENANT_RUNS
from dashboards.pages import PAGES
from tests.stores import DEMO_NOW_NS, demo_alerting, demo_store

KEY = "key-of-a-tenant-acme"
LISTINGS = ("runs", "costs?group_by=tenant", "findings", "slos", "alerts", "reports?group_by=tenant&format=json")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two hundred synthetic runs of several tenants."""
    store = demo_store(tmp_path_factory.mktemp("store") / "spanledger.duckdb")
    yield store
    store.close()


@pytest.fixture(scope="module")
def tenants(store: Store) -> list[str]:
    """The tenants of the runs, the first one the key's."""
    with store.cursor() as c:
        return [row[0] for row in c.execute("SELECT DISTINCT tenant FROM runs ORDER BY tenant").fetchall()]


@pytest.fixture(scope="module")
def client(store: Store, tenants: list[str]) -> TestClient:
    """A caller whose key is bound to the first tenant and has every scope."""
    keys = Keys([(KEY, Credential("bound", tenants[0], SCOPES))], anonymous=frozenset())
    app = create_app(store, Settings(), keys=keys, rules=Rules(*demo_alerting(store)), clock=lambda: DEMO_NOW_NS)
    return TestClient(app, base_url="http://127.0.0.1", headers={"authorization": f"Bearer {KEY}"})


@pytest.mark.parametrize("path", LISTINGS)
def test_listings_show_the_own_tenant_only(client: TestClient, tenants: list[str], path: str) -> None:
    """Every listing and report is of the key's tenant, whatever is asked for; asking for another is refused."""
    items = client.get(f"/api/v1/{path}").json()["items"]
    seen = {(i.get("group") or i.get("labels") or i).get("tenant") for i in items}

    assert len(tenants) > 1
    assert seen <= {tenants[0]}
    assert path.startswith(("slos", "alerts")) or seen
    joined = "&" if "?" in path else "?"
    assert client.get(f"/api/v1/{path}{joined}tenant={tenants[1]}").status_code == 403
    assert client.get(f"/api/v1/{path}{joined}tenant={tenants[0]}&tenant={tenants[1]}").status_code == 403


def test_focus_rows_are_of_the_own_tenant(client: TestClient, tenants: list[str]) -> None:
    """A FOCUS export with the key names no other tenant."""
    text = client.get("/api/v1/reports/focus").text

    assert tenants[0] in text
    assert not any(f'"{other}"' in text for other in tenants[1:])


def test_a_run_of_another_tenant_does_not_exist(client: TestClient, store: Store, tenants: list[str]) -> None:
    """One's own run is shown with its spans, another's is not found, as if its id were wrong."""
    with store.cursor() as c:
        one = dict(c.execute("SELECT tenant, any_value(run_id) FROM runs GROUP BY tenant").fetchall())
    own, other = f"/api/v1/runs/{one[tenants[0]]}", f"/api/v1/runs/{one[tenants[1]]}"

    assert client.get(own).json()["tenant"] == tenants[0]
    assert {span["tenant"] for span in client.get(f"{own}/spans").json()["items"]} == {tenants[0]}
    assert [client.get(path).status_code for path in (other, f"{other}/spans", "/api/v1/runs/none")] == [404] * 3


def test_refusals_are_counted(client: TestClient) -> None:
    """A request without a key adds to auth_failures_total by its reason."""
    labels = {"reason": "unauthenticated"}
    before = REGISTRY.get_sample_value("auth_failures_total", labels) or 0
    assert client.get("/api/v1/runs", headers={"authorization": "Bearer not-a-key-at-all"}).status_code == 401
    assert REGISTRY.get_sample_value("auth_failures_total", labels) == before + 1


def test_everything_else_is_refused(client: TestClient) -> None:
    """Pages, metrics, SQL, counts, acts and whatever will be added: only what is known to be confined is open."""
    routes = [route for router in (*ROUTERS, *PAGES) for route in router.routes if isinstance(route, APIRoute)]
    tried = 0
    for route in routes:
        path = route.path.replace("{run_id}", "x").replace("{name}", "x")
        if path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
            continue
        for method in route.methods or ():
            if method in ("GET", "HEAD") and (TENANT_LISTINGS.fullmatch(path) or TENANT_RUNS.fullmatch(path)):
                continue
            tried += 1
            assert client.request(method, path).status_code == 403, (method, path)
    assert tried > 12
