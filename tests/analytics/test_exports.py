"""Reports as files: every form holds the same rows, formulas stay text, amounts stay exact, schedules write once."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import exports
from analytics.owned_calls import NO_OWNERS
from analytics.owners import OwnerEntry, OwnerMap
from analytics.pricing.book import PriceBook
from analytics.report_plans import Plan, PlanFileError, load_plans
from analytics.reports import parts
from analytics.reports.costs import GROUP_KEYS, list_costs
from analytics.reports.exports import PRESETS, Report, cost_frames, write_due
from analytics.reports.values import BadQuestion
from analytics.reports.values import usd as usd_text
from collector.store import Store
from tests.stores import DAY, DEMO_NOW_NS, HOSTILE, demo_store, empty_store

KEYS = ("day", "tenant", "agent", "model")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The demo store."""
    store = demo_store(tmp_path_factory.mktemp("exports") / "spanledger.duckdb")
    yield store
    store.close()


def file(store: Store, form: str, keys: tuple[str, ...] = KEYS) -> bytes:
    """A report as a file."""
    return b"".join(exports.encoded(cost_frames(store, Report(keys)), form, {"as_of": "now"}))


@pytest.mark.parametrize("keys", [(), KEYS, ("hour", "owner"), ("run", "step"), GROUP_KEYS, *PRESETS.values()])
def test_a_report_holds_the_rows_of_the_answer(store: Store, keys: tuple[str, ...]) -> None:
    """Group by group the same keys and sums as the paged answer, in any time zone, and the same total."""
    owners = OwnerMap((OwnerEntry((("search", 2), ("billing", 1)), tenant="acme"),), (("search", "CC-7"),))
    asked: dict[str, Any] = {"group_by": keys, "tz": "Asia/Kolkata", "owners": owners, "limit": 10_000}
    answer = list_costs(store, DEMO_NOW_NS, **asked)
    frame = pl.concat(cost_frames(store, Report(keys, tz="Asia/Kolkata"), owners))
    found = [
        {k: usd_text(int(v.scaleb(12))) if isinstance(v, Decimal) else v for k, v in row.items() if k != "cost_centre"}
        for row in frame.iter_rows(named=True)
    ]
    assert sorted(map(str, found)) == sorted(str(dict(row)) for row in answer["items"])
    assert frame["cost_usd"].sum() == Decimal(str(answer["total"]["cost_usd"]))
    if "owner" in keys:
        assert set(frame.filter(pl.col("owner") == "search")["cost_centre"]) == {"CC-7"}


@pytest.mark.parametrize(
    "keys",
    [
        ("run",), ("session", "day"), ("user", "model"), ("run", "session", "user"), ("day",), ("hour", "tenant"),
        ("session", "step"), ("owner", "run"), ("day", "hour", "user"), ("model",),
    ],
)  # fmt: skip
def test_a_report_in_parts_is_the_same_report(
    store: Store, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]
) -> None:
    """Divided into many parts that are summed one by one, every group is there once, with the same sums."""
    first_ns, last_ns = DEMO_NOW_NS - 6 * DAY, DEMO_NOW_NS - DAY
    report = Report(keys, first_ns, last_ns, "Asia/Kathmandu")
    owners = OwnerMap((OwnerEntry((("search", 2), ("billing", 1)), tenant="acme"),))
    whole = pl.concat(cost_frames(store, report, owners))
    monkeypatch.setattr(parts, "PART_CALLS", 50)
    divided = pl.concat(cost_frames(store, report, owners))
    with store.cursor() as c:
        count = len(list(parts.parts(c, keys, first_ns, last_ns, "Asia/Kathmandu")))
    assert (count > 3) == (keys != ("model",))
    assert divided.sort(pl.all()).equals(whole.sort(pl.all()))
    assert whole.select(keys).is_unique().all()


def test_every_form_holds_the_same(store: Store) -> None:
    """CSV, JSON, JSON lines and Parquet tell the same rows; amounts are exact in each."""
    document = json.loads(file(store, "json"))
    lines = [json.loads(line) for line in file(store, "jsonl").splitlines()]
    table = pl.read_parquet(io.BytesIO(file(store, "parquet")))
    rows = list(csv.DictReader(io.StringIO(file(store, "csv").decode())))
    assert document["as_of"] == "now"
    total = Decimal(str(list_costs(store, DEMO_NOW_NS)["total"]["cost_usd"]))
    for items in (document["items"], lines, rows):
        assert sum(Decimal(row["cost_usd"] or 0) for row in items) == total
        assert len(items) == table.height
    assert table["cost_usd"].sum() == total
    assert table.schema["cost_usd"] == pl.Decimal(38, 12)


def test_formulas_in_csv_are_text(store: Store) -> None:
    """No cell that an emitter controls begins as a formula does; numbers are left alone."""
    rows = list(csv.DictReader(io.StringIO(file(store, "csv", ("agent",)).decode())))
    assert "'" + HOSTILE[1] in {row["agent"] for row in rows}
    assert not [row for row in rows if row["agent"].startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.slow
@given(st.text(max_size=6))
def test_any_text_is_inert_in_csv(text: str) -> None:
    """Whatever stands before it, a formula's first character is never the first that a spreadsheet looks at."""
    written = b"".join(exports.encoded(iter([pl.DataFrame({"name": [text]})]), "csv")).decode()
    cell = next(csv.reader(io.StringIO(written.partition("\n")[2])), [""])
    shown = "".join(cell).lstrip()
    assert not shown.startswith(("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"))


@given(st.lists(st.one_of(st.none(), st.integers(-(10**25), 10**25)), min_size=1))
def test_amounts_are_exact(amounts: list[int | None]) -> None:
    """Integers of 10^-12 USD become the same decimal, as the answers write it."""
    frame = pl.DataFrame({"pusd": pl.Series(amounts, dtype=pl.Int128)}).select(usd=exports.usd(pl.col("pusd")))
    assert frame["usd"].to_list() == [None if a is None else Decimal(a).scaleb(-12) for a in amounts]
    lines = b"".join(exports.encoded(iter([frame]), "jsonl")).splitlines()
    assert [json.loads(line)["usd"] for line in lines] == [usd_text(amount) for amount in amounts]


@pytest.mark.parametrize("form", exports.FORMATS)
def test_an_empty_report_is_a_file_too(tmp_path: Path, form: str) -> None:
    """Without a call there are the columns, and no row."""
    store = empty_store(tmp_path / "empty.duckdb")
    data = file(store, form)
    store.close()
    if form == "csv":
        assert data.decode().startswith("day,tenant,agent,model,runs,")
    if form == "json":
        assert json.loads(data)["items"] == []
    if form == "parquet":
        assert pl.read_parquet(io.BytesIO(data)).columns[:4] == list(KEYS)


def test_a_wrong_question_is_refused_before_anything_is_written(store: Store) -> None:
    """Unknown and repeated keys, unknown filters and zones."""
    for report in (Report(("colour",)), Report(("day", "day")), Report(tz="Mars"), Report(filters={"colour": "x"})):
        with pytest.raises(BadQuestion):
            next(cost_frames(store, report))


def test_due_files_are_written_once_and_whole(store: Store, tmp_path: Path) -> None:
    """Each period that has ended gets its file; what is there stays; nothing half-written remains."""
    plans = [
        Plan("month-end", tmp_path / "out", PRESETS["month-end"], keep=2),
        Plan("focus", tmp_path / "out", every="day", form="parquet", is_focus=True, keep=2),
    ]
    december = int(datetime(2026, 12, 1, 5, tzinfo=UTC).timestamp()) * 10**9
    book = PriceBook.seeded()
    written = write_due(store, plans, book, NO_OWNERS, december)
    names = ["month-end-2026-10.csv", "month-end-2026-11.csv", "focus-2026-11-29.parquet", "focus-2026-11-30.parquet"]
    assert [path.name for path in written] == names
    assert write_due(store, plans, book, NO_OWNERS, december) == []
    assert {path.name for path in (tmp_path / "out").iterdir()} - set(names) == {
        "focus-2026-11-29-unpriced.parquet", "focus-2026-11-30-unpriced.parquet",
    }  # fmt: skip
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "month-end-2026-11.csv").read_text())))
    total = Decimal(str(list_costs(store, DEMO_NOW_NS)["total"]["cost_usd"]))
    assert sum(Decimal(row["cost_usd"] or 0) for row in rows) == total


def plans(path: Path, text: str) -> list[Plan]:
    """The plans of a file."""
    path.write_text(text)
    return load_plans(path, PRESETS, GROUP_KEYS, tuple(exports.FORMATS))


def test_plans_are_read(tmp_path: Path) -> None:
    """Presets, groupings and FOCUS files; relative folders lie beside the file; no file is no plan."""
    path = tmp_path / "reports.toml"
    assert load_plans(path, PRESETS, GROUP_KEYS, tuple(exports.FORMATS)) == []
    found = plans(
        path,
        '[[report]]\nname = "a"\nfolder = "out"\npreset = "chargeback"\n'
        '[[report]]\nname = "b"\nfolder = "/srv"\ngroup_by = ["day", "model"]\nevery = "day"\nformat = "jsonl"\n'
        '[[report]]\nname = "c"\nfolder = "out"\nfocus = true\nkeep = 12\n',
    )
    assert found == [
        Plan("a", tmp_path / "out", PRESETS["chargeback"]),
        Plan("b", Path("/srv"), ("day", "model"), "day", "jsonl"),
        Plan("c", tmp_path / "out", is_focus=True, keep=12),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "\\[\\[report\\]\\] entries"),
        ("[report]", "two brackets"),
        ("[[report", "not TOML"),
        ('[[report]]\nname = "../a"\nfolder = "o"\nfocus = true', "name: letters"),
        ('[[report]]\nname = "a"\nfocus = true', "folder"),
        ('[[report]]\nname = "a"\nfolder = "o"', "one of preset"),
        ('[[report]]\nname = "a"\nfolder = "o"\npreset = "x"', "month-end"),
        ('[[report]]\nname = "a"\nfolder = "o"\ngroup_by = ["x"]', "group_by"),
        ('[[report]]\nname = "a"\nfolder = "o"\nfocus = true\nformat = "xlsx"', "format"),
        ('[[report]]\nname = "a"\nfolder = "o"\nfocus = true\nevery = "week"', "every"),
        ('[[report]]\nname = "a"\nfolder = "o"\nfocus = true\nkeep = 0', "keep"),
        ('[[report]]\nname = "a"\nfolder = "o"\nfocus = true\nhour = 3', "hour: not known here"),
        ('[[report]]\nname = "a"\nfolder = "o"\nfocus = true\n' * 2, "same files"),
    ],
)
def test_wrong_plans_are_refused_with_the_remedy(tmp_path: Path, text: str, said: str) -> None:
    """The error names the file, the entry and the key."""
    with pytest.raises(PlanFileError, match=said):
        plans(tmp_path / "reports.toml", text)
