"""The cost explorer as a person, a program and the command line meet it."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from analytics.drivers import PARTS
from dashboards import cli
from tests.markup import Markup
from tests.stores import demo_store

PERIOD = "from=2026-11-18&to=2026-11-19"


def test_the_page_says_why_it_differs(pages: TestClient) -> None:
    """Against the period before: parts that add up, a row a group in words, and the same as CSV."""
    html = pages.get(f"/cost?{PERIOD}&group_by=agent").text
    rows = list(csv.DictReader(io.StringIO(pages.get(f"/cost?{PERIOD}&group_by=agent&csv=drivers").text)))

    assert "Why it differs" in html
    assert "calls instead of" in html
    assert rows
    for row in rows:
        assert sum(Decimal(row[f"{part}_usd"]) for part in PARTS) == Decimal(row["change_usd"])
    assert "Why it differs" not in pages.get(f"/cost?{PERIOD}&group_by=agent&compare=none").text
    assert "Why it differs" not in pages.get(f"/cost?{PERIOD}&group_by=day").text


def test_yesterday_is_one_step_away(pages: TestClient) -> None:
    """What a tenant cost yesterday is what the API says of that day, to the last digit."""
    day = "from=2026-11-19&to=2026-11-19"  # the day before DEMO_NOW_NS
    told = pages.get(f"/api/v1/costs?{day}&group_by=tenant&tenant=globex").json()["total"]["cost_usd"]

    assert Decimal(told) > 0
    assert f'title="${told}"' in pages.get("/cost?period=yesterday&group_by=tenant&tenant=globex").text
    assert 'href="/cost?period=yesterday"' in pages.get("/").text


def test_any_key_is_a_filter(pages: TestClient) -> None:
    """What the filter field says becomes part of the slice, shown and kept in the address of every link."""
    html = pages.get(f"/cost?{PERIOD}&group_by=agent&where=tenant&is=globex").text
    csvs = [
        pages.get(f"/cost?{PERIOD}&csv=costs&{slice_}").text for slice_ in ("where=tenant&is=globex", "tenant=globex")
    ]

    assert 'name="tenant" value="globex"' in html
    assert csvs[0] == csvs[1]


@pytest.mark.parametrize("query", [f"{PERIOD}&group_by=agent,model", "period=24h&group_by=tool&tenant=acme"])
def test_files_hold_what_is_shown(pages: TestClient, query: str) -> None:
    """The CSV has the groups of the page, and the linked JSON the same groups with the same cost."""
    shown = list(csv.DictReader(io.StringIO(pages.get(f"/cost?{query}&csv=costs").text)))
    links = [a["href"] for a in Markup(pages.get(f"/cost?{query}").text).all("a") if "/reports?" in a["href"]]
    answer = pages.get(next(link for link in links if "json" in link)).json()

    assert len(links) == 2
    assert sorted(row["cost_usd"] for row in shown) == sorted(row["cost_usd"] or "" for row in answer["items"])
    assert pages.get(next(link for link in links if "parquet" in link)).content[:4] == b"PAR1"


def test_the_api_tells_the_drivers(pages: TestClient) -> None:
    """Both periods, coverage of both, and a refusal that names what is missing."""
    answer = pages.get(f"/api/v1/costs/drivers?{PERIOD}&group_by=model&tenant=acme").json()
    refused = pages.get("/api/v1/costs/drivers?group_by=model")

    assert answer["period"] == {"from_at": "2026-11-18T00:00:00.000000Z", "to_at": "2026-11-20T00:00:00.000000Z"}
    assert answer["before"]["from_at"] == "2026-11-16T00:00:00.000000Z"
    assert answer["total"]["priced_calls"] <= answer["total"]["calls"]
    assert {"model", "change_usd", "sentence"} <= answer["items"][0].keys()
    assert (refused.status_code, refused.json()["field"]) == (400, "from")


def test_the_command_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`cost --compare` is the same answer as a table, or as it is with --json."""
    demo_store(tmp_path / "spanledger.duckdb", runs=40).close()
    argv = [
        "cost",
        "--compare",
        "--group-by",
        "tenant",
        "--data",
        str(tmp_path),
        "--from",
        "2026-11-18",
        "--to",
        "2026-11-19",
    ]

    assert cli.main(argv) == 0
    table = capsys.readouterr().out
    assert cli.main([*argv, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert "what changed" in table
    assert {"items", "total", "next_cursor"} <= answer.keys()
