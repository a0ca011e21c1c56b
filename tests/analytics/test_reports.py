"""The read side over a store of synthetic runs whose rows agree with one another."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics.reports import listings, periods, runs
from analytics.reports.findings import Finding, list_findings
from analytics.reports.quality import quality
from analytics.reports.runs import list_runs, run
from analytics.reports.spans import count_spans, list_spans, span_ids
from analytics.reports.sql import ask, snapshot
from analytics.reports.values import BadQuestion, moment, pusd, usd
from collector.semconv import Flag
from collector.store import Store
from tests.stores import DEMO_NOW_NS, demo_store, empty_store

RUN_KEYS = [
    "run_id", "trace_id", "trace_ids", "agent", "agents", "agent_version", "tenant", "user", "session", "environment",
    "service", "status", "started_at", "duration_ms", "steps", "llm_calls", "llm_errors", "tool_calls", "tool_errors",
    "policy_denials", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
    "cost_usd", "booked_usd", "reported_usd", "wasted_usd", "priced_calls", "unpriced_calls", "unknown_calls",
    "findings",
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """120 synthetic runs."""
    store = demo_store(tmp_path_factory.mktemp("store") / "spanledger.duckdb", runs=120)
    yield store
    store.close()


def test_run_has_the_promised_keys(store: Store) -> None:
    """A run of the list begins with the contract's keys in the contract's order, and alone it is the same run."""
    listed = list_runs(store, DEMO_NOW_NS, limit=1)["items"][0]
    alone = run(store, listed["run_id"].upper(), DEMO_NOW_NS)

    assert list(listed)[: len(RUN_KEYS)] == RUN_KEYS
    assert alone is not None
    assert {key: alone[key] for key in listed} == listed  # type: ignore[literal-required]
    assert run(store, "0" * 32, DEMO_NOW_NS) is None


def test_pages_of_runs_join_without_gap_or_overlap(store: Store) -> None:
    """Following next_cursor gives every run once, newest first."""
    whole = [r["run_id"] for r in list_runs(store, DEMO_NOW_NS, limit=500)["items"]]
    walked, cursor = [], None
    while True:
        page = list_runs(store, DEMO_NOW_NS, limit=7, cursor=cursor)
        walked += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break

    assert [r["run_id"] for r in walked] == whole
    assert len(set(whole)) == 120
    assert [r["started_at"] for r in walked] == sorted((r["started_at"] for r in walked), reverse=True)


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        ({"tenant": "acme"}, lambda r: r["tenant"] == "acme"),
        ({"agent": "invoice-bot"}, lambda r: r["agent"] == "invoice-bot"),
        ({"status": ["error", "stuck"]}, lambda r: r["status"] in ("error", "stuck")),
        ({"environment": "staging"}, lambda r: r["environment"] == "staging"),
        ({"rule": "any"}, lambda r: r["findings"] > 0),
        ({"q": "INVOICE"}, lambda r: "invoice" in r["agent"]),
        ({"min_cost_pusd": 10**11}, lambda r: r["cost_usd"] is not None and float(r["cost_usd"]) >= 0.1),
        ({"from_ns": DEMO_NOW_NS - 86_400 * 10**9}, lambda r: r["started_at"] >= "2026-11-19T15:00"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_filters_keep_exactly_what_they_name(store: Store, asked, holds) -> None:  # type: ignore[no-untyped-def]
    """Each filter of runs keeps the runs that it describes and no other."""
    everything = list_runs(store, DEMO_NOW_NS, limit=500)["items"]
    kept = list_runs(store, DEMO_NOW_NS, limit=500, **asked)["items"]

    assert kept == [r for r in everything if holds(r)]
    assert 0 < len(kept) < len(everything)


def test_runs_are_found_by_the_model_and_tool_of_their_calls(store: Store) -> None:
    """The filters model and tool keep runs that made such a call; both together keep runs that made both."""

    def ids(**filters: Any) -> set[str]:
        return {r["run_id"] for r in list_runs(store, DEMO_NOW_NS, limit=500, **filters)["items"]}

    assert ids(model="gpt-5-mini", tool="get_invoice") == ids(model="gpt-5-mini") & ids(tool="get_invoice") != set()
    assert ids(model="no-such-model") == set()


@pytest.mark.parametrize("newest", [(1,), (3, 20), ()])
def test_a_page_by_model_is_the_same_wherever_it_is_looked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch, newest: tuple[int, ...]
) -> None:
    """However few of the newest runs are looked at first: pages of runs by model and tool join to all of them."""
    everything = list_runs(store, DEMO_NOW_NS, limit=500, model="gpt-5-mini")["items"]
    monkeypatch.setattr(runs, "NEWEST", newest)
    walked: list[Any] = []
    cursor = None
    while not walked or cursor:
        page = list_runs(store, DEMO_NOW_NS, limit=7, cursor=cursor, model="gpt-5-mini")
        walked, cursor = [*walked, *page["items"]], page["next_cursor"]

    assert len(everything) > 14
    assert walked == everything


def test_spans_come_in_the_order_of_a_waterfall(store: Store) -> None:
    """Every span of a run is listed once, below its parent and one deeper, siblings by start; offsets fit the times."""
    for item in list_runs(store, DEMO_NOW_NS, limit=40)["items"]:
        found = list_spans(store, item["run_id"], DEMO_NOW_NS)
        assert found is not None
        spans = found["items"]
        depths: dict[str, int] = {}
        for span in spans:
            above = span["parent_span_id"]
            assert span["depth"] == (depths[above] + 1 if above in depths else 0)
            depths[span["span_id"]] = span["depth"]
        assert len(depths) == len(spans) == item["spans"]
        assert min(s["offset_ms"] for s in spans if not s["quarantined"]) == 0
        siblings = [s["started_at"] for s in spans if s["parent_span_id"] == spans[0]["span_id"]]
        assert siblings == sorted(siblings)


def test_money_of_spans_adds_up_to_the_run(store: Store) -> None:
    """The costs of a run's spans sum to the run's cost, to the last digit."""
    for item in list_runs(store, DEMO_NOW_NS, limit=40)["items"]:
        found = list_spans(store, item["run_id"], DEMO_NOW_NS)
        assert found is not None
        parts = [pusd("cost", s["cost_usd"]) for s in found["items"] if s["cost_usd"] is not None]

        assert usd(sum(p or 0 for p in parts)) == (item["cost_usd"] or "0")


def test_derived_calls_stand_under_their_model_call(store: Store) -> None:
    """Tool calls that were read from messages are named on the model call that asked for them."""
    item = next(r for r in list_runs(store, DEMO_NOW_NS, limit=500)["items"] if r["derived_tool_calls"])
    found = list_spans(store, item["run_id"], DEMO_NOW_NS)

    assert found is not None
    derived = [(s["kind"], call["tool"]) for s in found["items"] for call in s["derived_tool_calls"]]
    assert len(derived) == item["derived_tool_calls"] == item["tool_calls"]
    assert {kind for kind, _ in derived} == {"llm.call"}


def test_pages_of_spans_join(store: Store) -> None:
    """Following next_cursor through a run gives the spans of the whole listing."""
    run_id = max(list_runs(store, DEMO_NOW_NS, limit=500)["items"], key=lambda r: r["spans"])["run_id"]
    whole, first = list_spans(store, run_id, DEMO_NOW_NS), list_spans(store, run_id, DEMO_NOW_NS, limit=5)
    assert whole is not None
    assert first is not None
    rest = list_spans(store, run_id, DEMO_NOW_NS, cursor=first["next_cursor"])
    assert rest is not None

    assert first["items"] + rest["items"] == whole["items"]
    assert rest["next_cursor"] is None


def test_a_trace_without_a_run_yet_shows_its_spans(tmp_path: Path) -> None:
    """Spans that the jobs have not read are shown under their trace id, and the lag says so."""
    store = demo_store(tmp_path / "spanledger.duckdb", runs=5)
    run_id = list_runs(store, DEMO_NOW_NS, limit=1)["items"][0]["run_id"]
    with store.transaction() as c:
        c.execute("DELETE FROM runs WHERE run_id = ?", [run_id])
        c.execute("UPDATE watermarks SET batch = (SELECT max(batch) - 1 FROM spans)")
    found = list_spans(store, run_id, DEMO_NOW_NS)
    store.close()

    assert found is not None
    assert len(found["items"]) > 1
    assert found["lag"]["spans"] > 0
    assert found["as_of"] < moment(DEMO_NOW_NS)


def test_count_is_the_rows_without_the_self_check(tmp_path: Path) -> None:
    """The count and the ids are those of all stored spans but the self-check's."""
    store = demo_store(tmp_path / "spanledger.duckdb", runs=3)
    before = count_spans(store)
    with store.transaction() as c:
        c.execute(f"UPDATE span_log SET flags = flags | {int(Flag.SELF_CHECK)} WHERE rowid = 0")
    ids = "".join(span_ids(store)).split()
    after = count_spans(store)
    store.close()

    assert before - 1 == after == len(ids)
    assert all(len(i) == 16 and i == i.lower() for i in ids)


def test_findings_name_run_evidence_and_money(store: Store) -> None:
    """A finding has its keys, its evidence spans belong to its run, and a filter by run gives the run's."""
    found = list_findings(store, DEMO_NOW_NS, rule="loop")["items"]
    finding = found[0]
    spans = list_spans(store, finding["run_id"], DEMO_NOW_NS)

    assert list(finding) == list(Finding.__annotations__)
    assert spans is not None
    assert set(finding["span_ids"]) <= {s["span_id"] for s in spans["items"] if "loop" in s["evidence_of"]}
    assert list_findings(store, DEMO_NOW_NS, run=finding["run_id"])["items"] == [finding]


def test_ledger_accounts_for_every_stored_span(store: Store) -> None:
    """Over all time the accepted spans are the stored ones, and the parts are no more than the whole."""
    ledger = quality(store, DEMO_NOW_NS, from_ns=0, to_ns=DEMO_NOW_NS + 10**15)
    total = ledger["total"]

    assert total["accepted"] == count_spans(store)
    assert (total["rejected"], total["deduplicated"], total["conflicting"]) == (15, 640, 2)
    assert 0 < total["quarantined"] <= total["accepted"]
    assert total["unpriced"] + total["unknown"] > 0


def test_an_empty_store_answers(tmp_path: Path) -> None:
    """Every listing of an empty store is empty and current."""
    store = empty_store(tmp_path / "spanledger.duckdb")
    answers = [list_runs(store, DEMO_NOW_NS), list_findings(store, DEMO_NOW_NS), quality(store, DEMO_NOW_NS)]
    store.close()

    assert [(a["items"], a["next_cursor"], a["lag"]["spans"]) for a in answers] == [([], None, 0)] * 3


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT 1; SELECT 2", "2 statements"),
        ("COMMIT; DELETE FROM runs", "2 statements"),
        ("DELETE FROM runs", "DELETE is not a question"),
        ("WITH gone AS (DELETE FROM runs RETURNING 1) SELECT * FROM gone", "read-only"),
        ("COPY runs TO 'runs.csv'", "COPY is not a question"),
        ("SELECT * FROM read_text('/etc/hostname')", "file system operations are disabled"),
        ("SET enable_external_access = true", "SET is not a question"),
        ("ATTACH 'other.db'", "ATTACH is not a question"),
        ("SELECT nothing", "not found"),
        ("", "0 statements"),
    ],
)
def test_sql_reads_and_nothing_else(store: Store, query: str, why: str) -> None:
    """What is not one reading statement is refused with a reason, and leaves the store and the disk alone."""
    with pytest.raises(BadQuestion, match=why):
        ask(store, DEMO_NOW_NS, query)

    assert len(list_runs(store, DEMO_NOW_NS, limit=500)["items"]) == 120


def test_sql_answers_in_its_own_columns(store: Store) -> None:
    """Columns keep their names and order, wide sums stay whole numbers, and a cut answer says so."""
    answer = ask(store, DEMO_NOW_NS, "SELECT status, sum(cost_pusd) AS cost FROM runs GROUP BY ALL ORDER BY ALL")
    cut = ask(store, DEMO_NOW_NS, "FROM range(5)", limit=3)

    assert answer["columns"] == ["status", "cost"]
    assert all(isinstance(row["cost"], int) for row in answer["items"])
    assert (len(cut["items"]), cut["truncated"]) == (3, True)


def test_sql_gives_up_in_time(store: Store) -> None:
    """A query that takes too long is ended and the remedy named."""
    with pytest.raises(BadQuestion, match="longer than 0 s"):
        ask(
            store,
            DEMO_NOW_NS,
            "SELECT count(*) FROM range(100000) a, range(100000) b WHERE a.range % 7 < b.range",
            max_seconds=0.2,
        )


def test_a_snapshot_is_the_whole_store(store: Store) -> None:
    """A snapshot holds every row of the store, views included, in a file of its own."""
    path = snapshot(store)
    copy = Store(path)
    copied = count_spans(copy), len(list_runs(copy, DEMO_NOW_NS, limit=500)["items"])
    copy.close()

    assert copied == (count_spans(store), 120)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (0, "0"),
        (1, "0.000000000001"),
        (12_300_000_000, "0.0123"),
        (-5 * 10**11, "-0.5"),
        (3 * 10**12, "3"),
    ],
)
def test_money_is_plain_and_exact(value: int | None, text: str | None) -> None:
    """Money is an exact decimal without exponent or trailing zeros, and reads back as what it was."""
    assert usd(value) == text
    if value is not None and value >= 0:
        assert pusd("cost", text) == value


@pytest.mark.parametrize("amount", ["-1", "1e3", "NaN", "", "1234567", "0.0000000000001", "١"])
def test_amounts_that_mean_nothing_are_refused(amount: str) -> None:
    """An amount that is not plain, or finer than money is kept, is refused."""
    with pytest.raises(BadQuestion):
        pusd("min_cost", amount)


HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("begin", "end", "tz", "hours"),
    [
        ("2026-11-01", "2026-11-30", "UTC", 720),
        ("2026-03-29", "2026-03-29", "Europe/Berlin", 23),
        ("2026-10-25", "2026-10-25", "Europe/Berlin", 25),
        ("2026-11-20T00:00:00Z", "2026-11-20T03:00:00+01:00", "UTC", 2),
        ("36h", "12h", "UTC", 24),
    ],
)
def test_periods_are_what_people_mean(store: Store, begin: str, end: str, tz: str, hours: int) -> None:
    """Days last as long as they do where they are, the last one included; offsets and ages are understood."""
    with store.cursor() as c:
        first, last = periods.period(c, begin, end, now_ns=DEMO_NOW_NS, tz=tz)

    assert last - first == hours * HOUR


@pytest.mark.parametrize(
    ("begin", "end", "tz", "field"),
    [
        ("soon", None, "UTC", "from"),
        (None, "1832-01-01", "UTC", "to"),
        (None, None, "Mars/Olympus", "tz"),
        ("1h", "2h", "UTC", "from"),
    ],
)
def test_periods_that_mean_nothing_are_refused(
    store: Store, begin: str | None, end: str | None, tz: str, field: str
) -> None:
    """The refusal of a period names the parameter at fault."""
    with store.cursor() as c, pytest.raises(BadQuestion) as refusal:
        periods.period(c, begin, end, now_ns=DEMO_NOW_NS, tz=tz)

    assert refusal.value.field == field


@pytest.mark.parametrize("cursor", ["x", "e30", listings.bookmark("a", "b"), listings.bookmark(1)])
def test_foreign_cursors_are_refused(store: Store, cursor: str) -> None:
    """A cursor of another listing, or none at all, is refused and named."""
    with pytest.raises(BadQuestion) as refusal:
        list_runs(store, DEMO_NOW_NS, cursor=cursor)

    assert refusal.value.field == "cursor"
