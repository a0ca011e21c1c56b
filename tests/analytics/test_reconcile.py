"""Reconciliation with the exports of providers: every format is read, differences and reasons are right."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.reports.costs import list_costs
from analytics.reports.reconcile import Reconciliation, reconcile_export
from analytics.reports.values import BadQuestion
from analytics.usage_exports import ExportFileError, read_export
from collector.store import Store
from tests.stores import DEMO_NOW_NS, demo_store

Row = dict[str, Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The demo store."""
    store = demo_store(tmp_path_factory.mktemp("reconcile") / "spanledger.duckdb")
    yield store
    store.close()


def recorded(store: Store, provider: str) -> list[Row]:
    """What was recorded of a provider's models, by day."""
    rows = list_costs(store, DEMO_NOW_NS, group_by=["day", "model"], provider=provider, limit=10_000)["items"]
    return [dict(row) for row in rows if row["model"] and row["llm_calls"]]


def openai_usage(rows: list[Row], key: str = "key_1") -> bytes:
    """As GET /v1/organization/usage/completions answers."""
    buckets = [
        {
            "object": "bucket",
            "start_time": _seconds(row["day"]),
            "end_time": _seconds(row["day"]) + 86_400,
            "results": [
                {
                    "object": "organization.usage.completions.result",
                    "input_tokens": row["input_tokens"],
                    "output_tokens": row["output_tokens"],
                    "input_cached_tokens": row["cache_read_tokens"],
                    "num_model_requests": row["llm_calls"],
                    "project_id": None,
                    "api_key_id": key,
                    "model": row["model"] + "-2026-08-07",
                    "batch": None,
                }
            ],
        }
        for row in rows
    ]
    return json.dumps({"object": "page", "data": buckets, "has_more": False, "next_page": None}).encode()


def openai_costs(rows: list[Row]) -> bytes:
    """As GET /v1/organization/costs answers, grouped by line item."""
    buckets = [
        {
            "start_time": _seconds(row["day"]),
            "results": [
                {
                    "amount": {"value": float(row["cost_usd"] or 0) / 2, "currency": "usd"},
                    "line_item": f"{row['model']}, {part}",
                }
                for part in ("input", "output")
            ],
        }
        for row in rows
    ]
    return b"\n".join(json.dumps({"data": [bucket]}).encode() for bucket in buckets)


def openai_dashboard(rows: list[Row]) -> bytes:
    """As the usage page of the dashboard downloads."""
    return _csv(
        [
            {
                "start_time": _seconds(row["day"]),
                "end_time": _seconds(row["day"]) + 86_400,
                "start_time_iso": row["day"] + "T00:00:00+00:00",
                "end_time_iso": "",
                "project_id": "proj_1",
                "num_model_requests": row["llm_calls"],
                "user_id": "",
                "api_key_id": "",
                "model": row["model"],
                "batch": "",
                "service_tier": "",
                "input_tokens": row["input_tokens"],
                "output_tokens": row["output_tokens"],
                "input_cached_tokens": row["cache_read_tokens"],
            }
            for row in rows
        ]
    )


def uncached(row: Row) -> int:
    """Input tokens as Anthropic counts them."""
    return int(row["input_tokens"] - row["cache_read_tokens"] - row["cache_write_tokens"])


def anthropic_usage(rows: list[Row]) -> bytes:
    """As GET /v1/organizations/usage_report/messages answers."""
    return json.dumps(
        {
            "data": [
                {
                    "starting_at": row["day"] + "T00:00:00Z",
                    "ending_at": row["day"] + "T23:59:59Z",
                    "results": [
                        {
                            "uncached_input_tokens": uncached(row),
                            "cache_read_input_tokens": row["cache_read_tokens"],
                            "cache_creation": {
                                "ephemeral_5m_input_tokens": row["cache_write_tokens"],
                                "ephemeral_1h_input_tokens": 0,
                            },
                            "output_tokens": row["output_tokens"],
                            "server_tool_use": {"web_search_requests": 0},
                            "model": row["model"] + "-20250929",
                            "api_key_id": None,
                        }
                    ],
                }
                for row in rows
            ],
            "has_more": False,
            "next_page": None,
        }
    ).encode()  # fmt: skip


def anthropic_costs(rows: list[Row]) -> bytes:
    """As GET /v1/organizations/cost_report answers: decimal texts of cents."""
    results = [
        {
            "starting_at": row["day"] + "T00:00:00Z",
            "results": [{"currency": "USD", "amount": str(Decimal(row["cost_usd"] or 0) * 100), "model": row["model"]}],
        }
        for row in rows
    ]
    return json.dumps({"data": results}).encode()


def anthropic_console(rows: list[Row]) -> bytes:
    """As the usage page of the console downloads."""
    return _csv(
        [
            {
                "usage_date_utc": row["day"],
                "model_version": row["model"] + "-20250929",
                "api_key": "agents",
                "workspace": "Default",
                "usage_type": "standard",
                "context_window": "\u2264 200k",
                "usage_input_tokens_no_cache": row["input_tokens"]
                - row["cache_read_tokens"]
                - row["cache_write_tokens"],
                "usage_input_tokens_cache_write_5m": row["cache_write_tokens"],
                "usage_input_tokens_cache_write_1h": 0,
                "usage_input_tokens_cache_read": row["cache_read_tokens"],
                "usage_output_tokens": row["output_tokens"],
                "web_search_count": 0,
            }
            for row in rows
        ]
    )


def anthropic_console_costs(rows: list[Row]) -> bytes:
    """As the cost page of the console downloads: models by their display name."""
    return _csv(
        [
            {
                "usage_date_utc": row["day"],
                "model": "Claude Sonnet 4.5",
                "token_type": "output",
                "cost_usd": row["cost_usd"] or 0,
            }
            for row in rows
        ]
    )


def _seconds(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def _csv(rows: list[Row]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def compare(store: Store, data: bytes) -> Reconciliation:
    """The answer for a file."""
    return reconcile_export(store, DEMO_NOW_NS, "export", data)


@pytest.mark.parametrize(
    ("provider", "make", "form"),
    [
        ("openai", openai_usage, "OpenAI usage"),
        ("openai", openai_costs, "OpenAI costs"),
        ("openai", openai_dashboard, "OpenAI usage"),
        ("anthropic", anthropic_usage, "Anthropic usage"),
        ("anthropic", anthropic_costs, "Anthropic costs"),
        ("anthropic", anthropic_console, "Anthropic usage (console)"),
        ("anthropic", anthropic_console_costs, "Anthropic costs (console)"),
    ],
)
def test_a_bill_that_says_the_same_agrees(store: Store, provider: str, make: Any, form: str) -> None:
    """Each format of each provider, dated and decorated model names and all: no difference on any day."""
    rows = recorded(store, provider)
    found = compare(store, make(rows))
    assert (found["provider"], found["format"]) == (provider, form)
    assert {item["reason"] for item in found["items"]} == {"agrees"}
    assert len(found["items"]) == len(rows)
    for name, difference in found["total"]["difference"].items():
        assert difference is None or abs(Decimal(difference)) < Decimal("0.000001"), name


def item(found: Reconciliation, day: str, model: str) -> Row:
    """One row of the answer."""
    return next(i for i in found["items"] if i["day"] == day and str(i["model"]).startswith(model))


def test_each_difference_has_its_reason(store: Store) -> None:
    """Nothing recorded, more billed, more recorded, other caches, another key, an unbilled day."""
    rows = recorded(store, "openai")
    whole = [row for row in rows if not row["unknown_calls"]]
    first, second, third, fourth = (dict(row) for row in whole[:4])
    first["input_tokens"] += 100
    second["output_tokens"] -= 1
    third["cache_read_tokens"] += 7
    gone = {**fourth, "model": "o3"}
    found = compare(store, openai_usage([first, second, third, gone, *(r for r in rows if r not in whole[:4])]))
    reasons = [item(found, row["day"], row["model"])["reason"] for row in (first, second, third, gone, fourth)]
    assert reasons == ["missing_traces", "over_recorded", "cache", "missing_traces", "not_billed"]
    assert item(found, first["day"], first["model"])["difference"]["input_tokens"] == -100
    two_keys = json.loads(openai_usage([first]))
    two_keys["data"][0]["results"] += json.loads(openai_usage([{**first, "input_tokens": 9}], "key_2"))["data"][0][
        "results"
    ]
    again = compare(store, json.dumps(two_keys).encode())
    assert item(again, first["day"], first["model"])["reason"] == "other_keys"


def test_unpriced_and_dearer_models_are_told_apart(store: Store) -> None:
    """Equal tokens with other money: a missing price, else another price; money alone is compared where that is all."""
    rows = recorded(store, "anthropic")
    dear = [{**row, "cost_usd": str(Decimal(row["cost_usd"] or 0) + 1)} for row in rows]
    assert {i["reason"] for i in compare(store, anthropic_costs(dear))["items"]} == {"price"}


def test_what_is_recorded_without_a_price_is_not_nothing(tmp_path: Path) -> None:
    """The recorded cost of a day and model without any priced call is unknown, and so is the difference."""
    store = demo_store(tmp_path / "unpriced.duckdb", 20)
    with store.transaction() as c:
        c.execute("UPDATE calls SET pricing = 'unpriced', cost_pusd = NULL WHERE pricing = 'priced'")
    rows = [{**row, "cost_usd": "1"} for row in recorded(store, "openai")]
    for found in compare(store, openai_costs(rows))["items"]:
        assert (found["billed"]["cost_usd"], found["recorded"]["cost_usd"]) == ("1", None)
        assert found["difference"]["cost_usd"] is None
    assert rows
    store.close()


def test_a_charge_that_no_call_bears_is_told_as_one(store: Store) -> None:
    """A line of a cost export by whose name nothing was recorded may be no model at all."""
    body = b"start_time_iso,amount_value,line_item\n2026-11-15,0.5,Web search tool calls\n"
    found = item(compare(store, body), "2026-11-15", "Web search tool calls")
    assert (found["reason"], "charge beside tokens" in found["sentence"]) == ("missing_traces", True)


def test_a_bill_without_models_is_compared_by_day(store: Store) -> None:
    """An answer that was not grouped by model."""
    page = json.loads(openai_usage(recorded(store, "openai")))
    for bucket in page["data"]:
        bucket["results"][0]["model"] = None
    found = compare(store, json.dumps(page).encode())
    assert {i["model"] for i in found["items"]} == {None}
    assert {i["reason"] for i in found["items"]} == {"agrees"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no rows"),
        (b"a,b\n1,2\n", "not an export known here"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{", "not JSON"),
        (b"a,b\n1\r\x00,2\n", "row 2: not CSV"),
        (b'{"data": [3]}', "bucket 0"),
        (b"usage_date_utc,cost_usd,model\nyesterday,3,c\n", "row 2, column usage_date_utc: not a time"),
        (b"usage_date_utc,cost_usd,model\n2026-01-01,3,c\n2026-01-01,many,c\n", "row 3, column cost_usd: not a number"),
        (b"usage_date_utc,cost_usd,model\n,3,c\n", "row 2, column usage_date_utc: empty"),
        (b"usage_date_utc,cost_usd,model\n2026-01-01,1e30,c\n", "too large"),
        (b"usage_date_utc,cost_usd,model\n2026-01-01,NaN,c\n", "not a number"),
        (
            b"start_time_iso,amount_value,amount_currency\n2026-01-01,1,eur\n",
            "column amount_currency: another currency",
        ),
        (
            b'{"data":[{"start_time":1,"results":[{"amount":{"value":"x"}}]}]}',
            "bucket 0, result 0, column amount.value",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_place_and_remedy(store: Store, data: bytes, said: str) -> None:
    """File, row and column of what cannot be read."""
    with pytest.raises(BadQuestion, match=said) as error:
        compare(store, data)
    assert str(error.value).startswith("export")


@pytest.mark.slow
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode), st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["data", "results", "starting_at", "start_time", "amount", "currency", "x"]), inner
        ),
    ),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing else happens, whatever the file."""
    try:
        read_export("export", data)
    except ExportFileError as e:
        assert str(e).startswith("export")


def test_a_tab_separated_copy_reads_like_the_csv(store: Store, tmp_path: Path) -> None:
    """Spreadsheets save tabs."""
    data = openai_dashboard(recorded(store, "openai"))
    assert read_export("a", data.replace(b",", b"\t"))[2].equals(read_export("a", data)[2])
