"""Reports for finance: costs by any grouping, whole and streamed; the FOCUS export; files written on a schedule."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from analytics import exports, focus
from analytics.frames import query
from analytics.owned_calls import NO_OWNERS
from analytics.owners import OwnerMap, midnight_ns
from analytics.pricing.book import PriceBook
from analytics.report_plans import Plan
from analytics.reports import listings
from analytics.reports.costs import CostTotal, groups
from analytics.reports.parts import NOTHING, Part, parts
from analytics.reports.periods import EVER_NS
from analytics.reports.values import BadQuestion
from collector.store import Cursor, Store

CHUNK_CALLS = 50_000

PRESETS: dict[str, tuple[str, ...]] = {
    "month-end": ("provider", "model", "tenant", "environment"),
    "chargeback": ("owner", "tenant", "agent", "provider", "model"),
    "daily": ("day", "tenant", "agent", "provider", "model"),
}
"""Groupings that finance asks for, by name."""

_AMOUNTS = ("cost", "booked", "reported", "wasted", "avoided")


@dataclass(frozen=True)
class Report:
    """A question for costs: calls that started in [from_ns, to_ns), by `group_by`, days and hours in `tz`."""

    group_by: tuple[str, ...] = ()
    from_ns: int = EVER_NS[0]
    to_ns: int = EVER_NS[1]
    tz: str = "UTC"
    filters: Mapping[str, str | None] = field(default_factory=dict)


def cost_frames(store: Store, report: Report, owners: OwnerMap = NO_OWNERS) -> Iterator[pl.DataFrame]:
    """The rows of `costs.list_costs`, all of them: the group keys (with the owner its cost centre), then the sums,
    amounts as Decimal USD. The first frame is empty, none has more than exports.ROWS rows. Raises BadQuestion.
    """
    if len(set(report.group_by)) < len(report.group_by):
        raise BadQuestion("group_by", "a group key is named twice: name each once")
    asked = (report.group_by, report.from_ns, report.to_ns, report.tz, owners, report.filters)
    with listings.reading(store) as c:
        yield _answered(_frame(groups(c, *asked, only=NOTHING).to_arrow_table()), report.group_by, owners)
        for part in parts(c, report.group_by, report.from_ns, report.to_ns, report.tz):
            for batch in groups(c, *asked, only=part).to_arrow_reader(exports.ROWS):
                for rows in _frame(batch).iter_slices(exports.ROWS):
                    yield _answered(rows, report.group_by, owners)
            store.trim_cache()


def focus_frames(
    store: Store,
    book: PriceBook,
    from_ns: int,
    to_ns: int,
    *,
    tenant: str | None = None,
    by_run: bool = True,
    only_unpriced: bool = False,
) -> Iterator[pl.DataFrame]:
    """The FOCUS rows of a period, see analytics.focus; or the volume of the unpriced calls.

    In the order of runs, else of days (UTC). One part of the calls is held at a time; the first frame is empty.
    """
    whole = ("run",) if by_run else ("day",)
    with listings.reading(store) as c:
        for part in chain([NOTHING], parts(c, whole, from_ns, to_ns)):
            calls = focus_calls(c, part, by_run=by_run, tenant=tenant)
            if only_unpriced:
                sums = _summed(calls, focus.unpriced, focus.summed_unpriced)
            else:
                sums = _summed(calls, lambda frame: focus.metered(frame, book), focus.summed)
            for rows in sums.iter_slices(exports.ROWS) if sums.height else [sums]:
                yield rows if only_unpriced else focus.focus_rows(rows)
            store.trim_cache()


def focus_calls(c: Cursor, part: Part, *, by_run: bool, tenant: str | None = None) -> Any:
    """The calls of a part, with the columns that FOCUS rows are made of: a relation."""
    c.execute(f"CREATE OR REPLACE TEMP MACRO part_calls() AS TABLE SELECT * FROM calls WHERE {part.calls}")
    runs = f"SELECT * FROM runs WHERE {part.runs if by_run else 'false'}"
    c.execute(f"CREATE OR REPLACE TEMP MACRO part_runs() AS TABLE {runs}")
    return c.sql(query("focus_calls"), params={"tenant": tenant})


def write_due(store: Store, plans: Sequence[Plan], book: PriceBook, owners: OwnerMap, now_ns: int) -> list[Path]:
    """Write the files of periods that have ended and are not there yet; the paths written. A job of the schedule."""
    written = []
    for plan in plans:
        for name, from_ns, to_ns in _ended(plan, now_ns):
            path = plan.folder / f"{plan.name}-{name}.{plan.form}"
            if path.exists():
                continue
            if plan.is_focus:
                without = focus_frames(store, book, from_ns, to_ns, only_unpriced=True)
                exports.save(without, plan.form, path.with_name(f"{plan.name}-{name}-unpriced.{plan.form}"))
                frames = focus_frames(store, book, from_ns, to_ns)
            else:
                frames = cost_frames(store, Report(plan.group_by, from_ns, to_ns), owners)
            exports.save(frames, plan.form, path)
            written.append(path)
    return written


def _summed(
    calls: Any,
    part: Callable[[pl.DataFrame], pl.DataFrame],
    summed: Callable[[pl.DataFrame], pl.DataFrame],
) -> pl.DataFrame:
    """Sums over calls, read in chunks: of each chunk, then of all."""
    chunks = [part(_frame(batch)) for batch in calls.to_arrow_reader(CHUNK_CALLS)]
    return summed(pl.concat(chunks or [part(_frame(calls.limit(0).to_arrow_table()))]))


def _frame(rows: Any) -> pl.DataFrame:
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _answered(rows: pl.DataFrame, group_by: Sequence[str], owners: OwnerMap) -> pl.DataFrame:
    """Rows of the query as the columns of a cost row."""
    called = pl.col("llm_calls").fill_null(0) > 0
    centres = dict(owners.cost_centres)
    keys = {key: pl.col(key) for key in group_by}
    if "day" in keys:
        keys["day"] = pl.col("day").dt.to_string("%Y-%m-%d")
    if "hour" in keys:
        keys["hour"] = _local("hour", "offset_minutes")
    if "owner" in keys:
        keys["cost_centre"] = pl.col("owner").replace_strict(centres, default=None, return_dtype=pl.String)
    amounts = {f"{name}_pusd" for name in _AMOUNTS}
    sums = {}
    for name in CostTotal.__annotations__:
        if (pusd := name.replace("_usd", "_pusd")) in amounts:
            zero = pl.when(~called).then(0) if name in ("cost_usd", "booked_usd") else pl.lit(0)
            amount = pl.col(pusd).cast(pl.Int128)
            sums[name] = exports.usd(amount if name == "reported_usd" else pl.coalesce(amount, zero.cast(pl.Int128)))
        else:
            sums[name] = pl.col(name).fill_null(0).cast(pl.Int64)
    return rows.select(**keys, **sums)


def _local(hour: str, offset: str) -> pl.Expr:
    """The beginning of an hour in RFC 3339, in its own offset."""
    minutes = pl.col(offset).fill_null(0)
    local = (pl.col(hour) + pl.duration(minutes=minutes)).dt.to_string("%Y-%m-%dT%H:%M:%S")
    sign = pl.when(minutes < 0).then(pl.lit("-")).otherwise(pl.lit("+"))
    clock = [(part).cast(pl.Int64).cast(pl.String).str.zfill(2) for part in (minutes.abs() // 60, minutes.abs() % 60)]
    offset_text = pl.concat_str(sign, clock[0], pl.lit(":"), clock[1])
    return local + pl.when(minutes == 0).then(pl.lit("Z")).otherwise(offset_text)


def _ended(plan: Plan, now_ns: int) -> list[tuple[str, int, int]]:
    """Name, begin and end of the last `keep` periods that have ended, oldest first."""
    end = datetime.fromtimestamp(now_ns // 10**9, UTC).date()
    end = end.replace(day=1) if plan.every == "month" else end
    periods = []
    for _ in range(plan.keep):
        before = end - timedelta(days=1)
        begin, name = (before.replace(day=1), f"{before:%Y-%m}") if plan.every == "month" else (before, f"{before}")
        periods.append((name, midnight_ns(begin), midnight_ns(end)))
        end = begin
    return periods[::-1]
