"""The HTTP API: its resources, its refusals, and the door in front of it."""

from collections.abc import Iterator
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from starlette.testclient import TestClient

from analytics.alert_settings import AlertSettings
from analytics.reports.costs import CostTotal
from analytics.reports.runs import Run
from collector.identity import Keys
from collector.settings import Settings
from collector.store import Store
from dashboards.app import Rules, create_app
from tests.stores import DEMO_NOW_NS, demo_store, empty_store

TOKEN = "local-token-of-a-test"
BEARER = {"authorization": f"Bearer {TOKEN}"}
LISTINGS = (
    "/api/v1/runs",
    "/api/v1/costs?group_by=model",
    "/api/v1/costs/drivers?group_by=model&from=7d",
    "/api/v1/quality/counters",
    "/api/v1/findings",
    "/api/v1/quality",
    "/api/v1/slos",
    "/api/v1/alerts",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Sixty synthetic runs."""
    store = demo_store(tmp_path_factory.mktemp("store") / "spanledger.duckdb", runs=60)
    yield store
    store.close()


def _client(store: Store, *, base_url: str = "http://127.0.0.1:8080", **settings: Any) -> TestClient:
    loaded = Settings(**settings)
    app = create_app(store, loaded, keys=Keys.of(loaded, local_token=TOKEN), clock=lambda: DEMO_NOW_NS)
    return TestClient(app, base_url=base_url, follow_redirects=False)


@pytest.fixture
def client(store: Store) -> TestClient:
    """A caller on this machine."""
    return _client(store)


@pytest.mark.parametrize("path", LISTINGS)
def test_every_listing_has_one_shape(client: TestClient, path: str) -> None:
    """Each listing answers items, next_cursor and as_of as JSON."""
    reply = client.get(path)

    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert {"items", "next_cursor", "as_of"} <= reply.json().keys()
    assert isinstance(reply.json()["items"], list)


def test_a_run_is_found_by_its_id(client: TestClient) -> None:
    """One run has the shape of the list's, and its spans are a listing of their own."""
    listed = client.get("/api/v1/runs", params={"limit": 1}).json()["items"][0]
    alone = client.get(f"/api/v1/runs/{listed['run_id']}").json()
    spans = client.get(f"/api/v1/runs/{listed['run_id']}/spans").json()

    assert list(listed) == list(Run.__annotations__)
    assert {k: alone[k] for k in listed} == listed
    assert len(spans["items"]) == listed["spans"]


def test_costs_have_a_total(client: TestClient) -> None:
    """Group keys separated by commas or repeated are the same question, with the same total as none."""
    commas = client.get("/api/v1/costs?group_by=tenant,model").json()
    repeated = client.get("/api/v1/costs?group_by=tenant&group_by=model").json()

    assert commas == repeated
    assert commas["total"] == client.get("/api/v1/costs").json()["total"]
    assert list(commas["total"]) == list(CostTotal.__annotations__)


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/api/v1/runs?colour=red", 400, "colour"),
        ("/api/v1/runs?limit=0", 400, "limit"),
        ("/api/v1/runs?limit=many", 400, "limit"),
        ("/api/v1/runs?status=fine", 400, "status"),
        ("/api/v1/runs?from=soon", 400, "from"),
        ("/api/v1/runs?cursor=zzz", 400, "cursor"),
        ("/api/v1/runs?min_cost=lots", 400, "min_cost"),
        ("/api/v1/costs?group_by=colour", 400, "group_by"),
        ("/api/v1/costs?tz=Mars", 400, "tz"),
        ("/api/v1/findings?severity=awful", 400, "severity"),
        ("/api/v1/runs/nothing", 404, None),
        ("/api/v1/runs/nothing/spans", 404, None),
        ("/api/v1/nothing", 404, None),
    ],
)
def test_refusals_are_problem_details(client: TestClient, path: str, status: int, field: str | None) -> None:
    """What cannot be answered is a problem that names the field and a remedy."""
    reply = client.get(path)
    problem = reply.json()

    assert reply.status_code == problem["status"] == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert problem.get("field") == field
    assert problem["title"]
    assert len(problem["detail"]) > 10


def test_openapi_documents_every_resource(client: TestClient) -> None:
    """The description names each resource of the contract with its parameters and the keys of its answer."""
    document = client.get("/openapi.json").json()
    paths = {
        f"/api/v1/{name}" for name in ("runs", "runs/{run_id}", "runs/{run_id}/spans", "costs", "findings", "quality")
    }
    parameters = {p["name"] for p in document["paths"]["/api/v1/runs"]["get"]["parameters"]}

    assert paths | {"/healthz", "/readyz", "/metrics"} <= document["paths"].keys()
    assert {"from", "to", "tz", "limit", "cursor", "tenant", "status", "model", "rule", "q"} <= parameters
    assert list(document["components"]["schemas"]["Run"]["properties"]) == list(Run.__annotations__)


def test_an_unchanged_answer_is_not_sent_again(client: TestClient) -> None:
    """The ETag of an answer earns a 304 without a body; HEAD has the headers of GET and no body."""
    first = client.get("/api/v1/findings")
    again = client.get("/api/v1/findings", headers={"if-none-match": first.headers["etag"]})
    head = client.head("/api/v1/findings")

    assert (again.status_code, again.content) == (304, b"")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("path", ["/api/v1/runs", "/", "/healthz", "/nothing", "/metrics"])
def test_every_answer_has_safe_headers(client: TestClient, path: str) -> None:
    """No answer may be framed, sniffed or run scripts of others."""
    headers = client.get(path).headers

    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8080", ""])
def test_foreign_host_names_are_refused_on_loopback(store: Store, host: str) -> None:
    """A web page that points its own name at this machine reads nothing."""
    reply = _client(store).get("/api/v1/runs", headers={"host": host})

    assert reply.status_code == 421
    assert "items" not in reply.text


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "[::1]:8080", "127.0.0.1", "demo.localhost:1"])
def test_own_host_names_are_served(store: Store, host: str) -> None:
    """Every name of the loopback address is served."""
    assert _client(store).get("/api/v1/runs", headers={"host": host}).status_code == 200


def test_acts_need_the_token_even_on_loopback(client: TestClient) -> None:
    """Without the local token nothing can be done, with it SQL is answered."""
    question = {"query": "SELECT count(*) AS runs FROM runs"}

    assert client.post("/api/v1/sql", json=question).status_code == 401
    assert (
        client.post("/api/v1/sql", json=question, headers={"authorization": "Bearer wrong-token-0000000"}).status_code
        == 401
    )
    assert client.post("/api/v1/sql", json=question, headers=BEARER).json()["items"] == [{"runs": 60}]


def test_a_guarded_server_shows_nothing_without_a_token(store: Store) -> None:
    """With an admin token set, API and pages ask for it; health does not."""
    client = _client(store, base_url="http://ledger.example", host="0.0.0.0", admin_token="a" * 20)
    page = client.get("/runs?status=error", headers={"accept": "text/html"})

    assert client.get("/api/v1/runs").status_code == 401
    assert client.get("/metrics").status_code == 401
    assert client.get("/openapi.json").status_code == 401
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/runs%3Fstatus%3Derror")
    assert client.get("/api/v1/runs", headers={"authorization": "Bearer " + "a" * 20}).status_code == 200
    assert {client.get(path).status_code for path in ("/healthz", "/readyz", "/login")} == {200}


def test_a_person_logs_in_once(store: Store) -> None:
    """The token opens a session that reads pages and API but cannot act, and leads back to where one was going."""
    client = _client(store, base_url="https://ledger.example", host="0.0.0.0", admin_token="a" * 20)
    wrong = client.post("/login", data={"token": "b" * 20, "next": "/runs"})
    right = client.post("/login", data={"token": "a" * 20, "next": "/runs?status=error"})
    cookie = right.headers["set-cookie"]

    assert wrong.status_code == 401
    assert (right.status_code, right.headers["location"]) == (303, "/runs?status=error")
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Secure"))
    assert client.get("/api/v1/runs").status_code == 200
    assert client.post("/api/v1/sql", json={"query": "SELECT 1"}).status_code == 401


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_login_leads_nowhere_else(store: Store, target: str) -> None:
    """A login link cannot send a person to another site."""
    client = _client(store, base_url="http://ledger.example", host="0.0.0.0", admin_token="a" * 20)

    assert client.post("/login", data={"token": "a" * 20, "next": target}).headers["location"] == "/"


@pytest.mark.parametrize(
    "cookie", ["spanledger=9999999999.forged", "spanledger=", "spanledger", "x=y; ;;=", "spanledger=\x80"]
)
def test_forged_sessions_are_worth_nothing(store: Store, cookie: str) -> None:
    """A cookie that was not signed here opens nothing."""
    client = _client(store, base_url="http://ledger.example", host="0.0.0.0", admin_token="a" * 20)

    assert client.get("/api/v1/runs", headers=[(b"cookie", cookie.encode("latin1"))]).status_code == 401


def test_readiness_says_why_not(store: Store) -> None:
    """Where spans are not being stored /readyz is 503 and names the reason; /healthz is still well."""
    app = create_app(store, Settings(), not_ready=lambda: "the queue is full", clock=lambda: DEMO_NOW_NS)
    client = TestClient(app, base_url="http://localhost")

    assert (client.get("/readyz").status_code, client.get("/readyz").json()["reason"]) == (503, "the queue is full")
    assert client.get("/healthz").json()["status"] == "ok"


def test_metrics_are_clean(client: TestClient, program: Any, tmp_path: Path) -> None:
    """promtool finds nothing to say about /metrics."""
    client.get("/api/v1/runs")
    checked = run([program("promtool"), "check", "metrics"], input=client.get("/metrics").content, capture_output=True)

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_the_webhook_has_a_token_of_its_own(store: Store, tmp_path: Path) -> None:
    """Alertmanager's notifications are taken with the webhook's token only, and nonsense is refused."""
    own = empty_store(tmp_path / "spanledger.duckdb")
    app = create_app(
        own, Settings(), rules=Rules(alerts=AlertSettings(webhook_token="w" * 20)), clock=lambda: DEMO_NOW_NS
    )
    client = TestClient(app, base_url="http://localhost")
    token = {"authorization": "Bearer " + "w" * 20}
    replies = [
        _client(store).post("/api/v1/alerts/webhook", json={}).status_code,
        client.post("/api/v1/alerts/webhook", json={}).status_code,
        client.post("/api/v1/alerts/webhook", content=b"{", headers=token).status_code,
        client.post("/api/v1/alerts/webhook", json={"version": "3"}, headers=token).status_code,
    ]
    own.close()

    assert replies == [401, 401, 400, 400]
