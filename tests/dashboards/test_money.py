"""Prices, repricing, months, reconciliation and reports over the API and from the command line."""

import csv
import io
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from analytics.pricing.book import PriceBook
from analytics.pricing.entries import ModelEntry
from collector.identity import Keys
from collector.settings import Settings
from dashboards.app import create_app
from dashboards.cli import main
from dashboards.client import StreamRefused
from dashboards.local import MAKER, Local
from tests.analytics.analysed import analysed_store
from tests.stores import DAY, DEMO_NOW_NS

TOKEN = "t" * 32
ACT = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of the API three weeks after the demo, with another price for one model."""
    store = analysed_store(tmp_path_factory.mktemp("money") / "spanledger.duckdb", PriceBook.seeded(), 40)
    book = PriceBook.seeded([ModelEntry(model="gpt-5-mini", usd={"input": Decimal(4), "output": Decimal(9)})])
    keys = Keys.of(Settings(), local_token=TOKEN)
    app = create_app(store, Settings(), keys=keys, book=lambda: book, clock=lambda: DEMO_NOW_NS + 21 * DAY)
    with TestClient(app, base_url="http://localhost") as client:
        yield client
    store.close()


def test_the_book_is_listed_page_by_page(client: TestClient) -> None:
    """List prices and the override, by a part of the model's name; what has no price, with its volume."""
    first = client.get("/api/v1/prices", params={"model": "gpt-5-mini", "limit": 2}).json()
    rest = client.get("/api/v1/prices", params={"model": "gpt-5-mini", "cursor": first["next_cursor"]}).json()
    rows = first["items"] + rest["items"]
    assert len(first["items"]) == 2
    assert {"prices.toml"} < {row["source"] for row in rows}
    assert {row["unit"] for row in rows} >= {"input", "output", "cache_read"}
    unpriced = client.get("/api/v1/prices/unpriced").json()["items"]
    assert {row["pricing"] for row in unpriced} == {"unpriced", "unknown"}


def test_repricing_needs_a_token_and_is_audited(client: TestClient) -> None:
    """Even on loopback; shown, done, listed, taken back; an unknown number is refused in words."""
    assert client.post("/api/v1/reprices", json={}).status_code == 401
    shown = client.post("/api/v1/reprices", json={"dry_run": True, "model": "gpt-5-mini"}, headers=ACT).json()
    done = client.post("/api/v1/reprices", json={"model": "gpt-5-mini"}, headers=ACT).json()
    assert (shown["reprice"], shown["items"], done["reprice"]) == (None, done["items"], 1)
    listed = client.get("/api/v1/reprices").json()["items"][0]
    assert (listed["model"], listed["actor"]) == ("gpt-5-mini", "cli (local token)")
    back = client.post("/api/v1/reprices/1/undo", headers=ACT).json()
    assert Decimal(back["difference_usd"]) == -Decimal(done["difference_usd"])
    refused = client.post("/api/v1/reprices/1/undo", headers=ACT)
    assert (refused.status_code, refused.json()["field"]) == (400, "number")


def test_a_month_closes_once(client: TestClient) -> None:
    """Its rows add up to what was frozen; closing again is refused."""
    closed = client.post("/api/v1/months/2026-11", headers=ACT).json()
    rows = client.get("/api/v1/months/2026-11", params={"group_by": "tenant,model"}).json()["items"]
    assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal(closed["frozen_usd"])
    assert client.post("/api/v1/months/2026-11", headers=ACT).status_code == 400
    assert client.get("/api/v1/months").json()["items"] == [closed]
    assert client.get("/api/v1/months/2026-11", params={"group_by": "colour"}).json()["field"] == "month"


def test_audits_name_who_acted(tmp_path: Path) -> None:
    """By the name of the key that was shown, or as the command that needs none because no server runs."""
    store = analysed_store(tmp_path / "spanledger.duckdb", PriceBook.seeded(), 10)
    settings = Settings(admin_token="a" * 32)
    app = create_app(store, settings, keys=Keys.of(settings), clock=lambda: DEMO_NOW_NS + 21 * DAY)
    with TestClient(app, base_url="http://localhost", headers={"Authorization": f"Bearer {'a' * 32}"}) as client:
        client.post("/api/v1/reprices", json={})
        client.post("/api/v1/reprices/1/undo")
        assert client.post("/api/v1/months/2026-11").json()["actor"] == "api: admin-token"
        assert {row["actor"] for row in client.get("/api/v1/reprices").json()["items"]} == {"api: admin-token"}
    store.close()
    assert main(["close", "2026-10", "--data", str(tmp_path)]) == 0
    source = Local(Settings(data=tmp_path))
    months = source.get("/api/v1/months").json()["items"]
    for month in months:
        assert month["llm_calls"] == month["priced_calls"] + month["unpriced_calls"] + month["unknown_calls"]
    assert [bool(month["llm_calls"]) for month in months] == [True, False]
    actors = {row["month"]: row["actor"] for row in source.get("/api/v1/months").json()["items"]}
    source.close()
    assert actors == {"2026-10": "cli (no server)", "2026-11": "api: admin-token"}


def test_an_export_is_compared_as_it_is_sent(client: TestClient) -> None:
    """The body is the file; a wrong one is refused with its place."""
    body = b"usage_date_utc,model,cost_usd\n2026-11-20,Claude Sonnet 4.5,1.5\n"
    found = client.post("/api/v1/reconciliations", params={"name": "costs.csv"}, content=body, headers=ACT).json()
    assert found["total"]["billed"]["cost_usd"] == "1.5"
    refused = client.post("/api/v1/reconciliations", content=body.replace(b"1.5", b"x"), headers=ACT)
    assert "row 2, column cost_usd" in refused.json()["detail"]


@pytest.mark.parametrize(
    "path", ["/api/v1/reports?preset=month-end", "/api/v1/reports?group_by=day,run", "/api/v1/reports/focus"]
)
def test_reports_are_files(client: TestClient, path: str) -> None:
    """CSV by default, with a name; they add up to the total."""
    reply = client.get(path)
    assert "attachment" in reply.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(reply.text)))
    total = client.get("/api/v1/costs").json()["total"]["cost_usd"]
    column = "BilledCost" if "focus" in path else "cost_usd"
    assert sum(Decimal(row[column] or 0) for row in rows) == Decimal(total)


@pytest.mark.parametrize("query", ["preset=x", "preset=daily&group_by=day", "group_by=x", "format=xls", "colour=1"])
def test_a_wrong_question_is_refused_before_the_file(client: TestClient, query: str) -> None:
    """As problem details, not in the middle of a download."""
    assert client.get(f"/api/v1/reports?{query}").status_code == 400


def test_the_commands_do_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a server: price, preview, apply, undo, report to a file, close, reconcile."""
    analysed_store(tmp_path / "spanledger.duckdb", PriceBook.seeded(), 20).close()
    (tmp_path / "prices.toml").write_text('[[model]]\nmodel = "gpt-5-mini"\nusd_per_request = 0.5\n')
    where = ["--data", str(tmp_path)]
    assert main(["reprice", "--dry-run", *where]) == 0
    assert "Nothing was changed" in capsys.readouterr().out
    assert main(["reprice", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["reprice"] == 1
    assert main(["reprice", "--undo", "1", *where]) == 0
    assert main(["reprice", "--undo", "1", *where]) == 2
    for out, options in (("a.csv", ["--preset", "chargeback"]), ("b.parquet", ["--focus", "--format", "parquet"])):
        assert main(["report", *options, "--out", str(tmp_path / out), *where]) == 0
        assert (tmp_path / out).stat().st_size > 1000
    assert main(["report", "--group-by", "colour", *where]) == 2
    assert main(["report", "--unpriced", *where]) == 2
    assert main(["prices", "--unpriced", *where]) == 0
    capsys.readouterr()
    assert main(["close", "2026-09", *where]) == 0
    assert "No model call started in it" in capsys.readouterr().out
    assert main(["close", *where]) == 0
    capsys.readouterr()
    for options in (["--focus", "--preset", "daily"], ["--preset", "daily", "--group-by", "day"]):
        assert main(["report", *options, *where]) == 2
        assert "leave" in capsys.readouterr().err
    (tmp_path / "bill.csv").write_text("usage_date_utc,model,cost_usd\n2026-11-20,Claude Sonnet 4.5,1.5\n")
    assert main(["reconcile", str(tmp_path / "bill.csv"), *where]) == 0
    assert main(["reconcile", str(tmp_path / "none.csv"), *where]) == 2
    assert "Anthropic costs (console)" in capsys.readouterr().out


def test_a_long_answer_that_nobody_takes_any_more_ends(tmp_path: Path) -> None:
    """Without a server: no thread goes on making it."""
    analysed_store(tmp_path / "spanledger.duckdb", PriceBook.seeded(), 20).close()
    source = Local(Settings(data=tmp_path))
    pieces = source.stream("/api/v1/reports/focus", {"format": "jsonl"})
    assert next(pieces) is not None
    assert MAKER in {thread.name for thread in threading.enumerate()}
    del pieces
    assert MAKER not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(StreamRefused) as refused:
        next(source.stream("/api/v1/reports", {"group_by": "colour"}))
    assert "not a group key" in refused.value.reply.json()["detail"]
    source.close()


def test_a_price_that_goes_is_not_a_price_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Calls that had a price and have none in the book in force are told as unpriced, never as $0."""
    book = PriceBook.seeded([ModelEntry(model="acme-*", usd={"input": Decimal(4), "output": Decimal(9)})])
    analysed_store(tmp_path / "spanledger.duckdb", book, 20).close()
    assert main(["reprice", "--dry-run", "--data", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    rows = [line for line in shown.splitlines() if "acme-finetune" in line]
    assert rows and all("unpriced" in row and "$0 " not in row for row in rows)
    assert "they become unpriced" in shown
