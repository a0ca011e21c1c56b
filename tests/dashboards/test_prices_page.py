"""The page of prices: the book, what has no price, and what repricing would change."""

import csv
import html
import io
import re
import shlex
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from analytics.pricing.book import PriceBook, Question
from analytics.pricing.entries import PriceFileError, load_overrides
from analytics.reprice import preview
from collector.settings import Settings
from collector.store import Store
from dashboards.app import Rules, create_app
from dashboards.pages.prices import command
from tests.markup import Markup
from tests.stores import DEMO_NOW_NS, demo_book


def table(pages: TestClient, address: str) -> list[dict[str, str]]:
    """The rows of a CSV."""
    return list(csv.DictReader(io.StringIO(pages.get(address).text)))


def test_the_users_own_prices_come_first_and_are_marked(pages: TestClient) -> None:
    """Three of them, with what they are bound to; the search and the source narrow the list."""
    page = pages.get("/prices").text
    body = page.split('id="prices"')[1]
    assert body.count(">yours<") == 3
    assert body.index("web_search") < body.index("genai-prices")
    assert "batch, above 200000 input tokens" in body
    assert "from 2026-01-01 to 2026-12-31" in body
    mine = table(pages, "/prices?source=prices.toml&csv=prices")
    assert {row["model"] for row in mine} == {"gpt-5-mini*", "claude-sonnet-4-5*", "web_search"}
    found = table(pages, "/prices?model=SONNET&csv=prices")
    assert found
    assert all("sonnet" in row["model"] for row in found)


def test_paging_reaches_the_whole_book(pages: TestClient) -> None:
    """Line by line, each once."""
    path, lines = "/prices?provider=mistral", 0
    while path:
        text = pages.get(path).text
        markup = Markup(text.split('id="prices"')[1])
        lines += len(markup.all("tr")) - 1
        path = next((a["href"] for a in markup.all("a") if a.get("rel") == "next"), "")
    assert lines > 25
    assert f"{lines} prices" in text


def test_what_has_no_price_comes_with_the_entry_to_write(pages: TestClient, tmp_path: Path) -> None:
    """As it stands it is refused; with amounts for the dots it prices the model. Calls without usage have none."""
    page = pages.get("/prices").text
    entries = [html.unescape(text) for text in re.findall(r"<pre[^>]*>(\[\[model.*?)</pre>", page, re.DOTALL)]
    rows = table(pages, "/prices?csv=unpriced")
    assert [row["entry"] for row in rows if row["pricing"] == "unpriced"] == entries
    assert [row["entry"] for row in rows if row["pricing"] == "unknown"] == [""] * (len(rows) - len(entries))
    path = tmp_path / "prices.toml"
    path.write_text(entries[0])
    with pytest.raises(PriceFileError, match="not TOML"):
        load_overrides(path)
    path.write_text(entries[0].replace("...", "1.5"))
    (entry,) = load_overrides(path)
    names = next(row for row in rows if row["entry"])
    asked = Question(datetime(2026, 11, 20, tzinfo=UTC), names["provider"], names["model"], None, None, None)
    assert PriceBook.seeded().tiers(asked) is None
    assert PriceBook.seeded([entry]).tiers(asked) == ((-1, {"input": Decimal("1.5"), "output": Decimal("1.5")}),)


def test_a_preview_shows_what_repricing_would_do_and_changes_nothing(pages: TestClient, store: Store) -> None:
    """Page and CSV hold the difference by day and model; the command that applies it is ready to copy."""
    before = table(pages, "/cost?period=30d&group_by=model&csv=costs")
    shown = preview(store, demo_book())
    rows = table(pages, "/prices?preview=1&csv=changes")
    assert sum(int(row["changed_calls"]) for row in rows) == shown.changed_calls > 0
    page = pages.get("/prices?preview=1&from=2026-11-12&only=gpt-5-mini").text
    assert "spanledger reprice --from 2026-11-12 --model gpt-5-mini<" in page
    narrowed = table(pages, "/prices?preview=1&from=2026-11-12&only=gpt-5-mini&csv=changes")
    assert {row["model"] for row in narrowed} == {"gpt-5-mini"}
    assert all(row["day"] >= "2026-11-12" for row in narrowed)
    assert sum(Decimal(row["difference_usd"]) for row in narrowed) < 0
    assert table(pages, "/cost?period=30d&group_by=model&csv=costs") == before


@pytest.mark.parametrize("query", ["from=2026-13-01", "to=soon", "from=2026-11-02&to=2026-11-01"])
def test_a_wrong_period_is_refused(pages: TestClient, query: str) -> None:
    """With the field and how to write it."""
    answer = pages.get(f"/prices?preview=1&{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.text


def test_no_name_breaks_out_of_the_command(pages: TestClient) -> None:
    """What the address says is quoted for a shell."""
    asked = {"from": None, "to": "$(id)", "only": "x; rm -rf ~'"}
    assert shlex.split(command(asked)) == ["spanledger", "reprice", "--to", "$(id)", "--model", "x; rm -rf ~'"]
    assert "there is nothing to do" in pages.get("/prices", params={"preview": "1", "only": "x; rm -rf ~"}).text


def test_a_refused_file_is_told(store: Store) -> None:
    """On Prices that of the prices, on Settings every one."""
    rules = Rules(refused={"prices.toml": "prices.toml: [[model]] entry 1: <b>", "slos": "slos/a.yaml: no"})
    app = create_app(store, Settings(), rules=rules, book=demo_book, clock=lambda: DEMO_NOW_NS)
    with TestClient(app, base_url="http://localhost") as client:
        prices, settings = client.get("/prices").text, client.get("/settings").text
    assert "entry 1: &lt;b&gt;" in prices
    assert "slos/a.yaml" not in prices
    assert "entry 1: &lt;b&gt;" in settings
    assert "slos/a.yaml: no" in settings
