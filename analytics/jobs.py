"""The jobs: what happens between a stored span and an answer. All I/O of the analysis of runs is here."""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import polars as pl

from analytics import arrival_sums, cost, cost_bins, frames, runs, slo_events, structure, upkeep
from analytics.calls import find_calls
from analytics.detectors import DETECTORS, Detector
from analytics.pricing.book import PriceBook
from analytics.slo import MINUTE_NS
from collector.dimensions import Dictionary
from collector.store import Cursor, Store

log = logging.getLogger(__name__)

PASS_SPANS = 20_000  # new spans that a pass takes on, in whole batches; more would only take more memory
PASS_TRACES = 2_000  # remapped traces that a pass takes on beside them
BUSY = 40_000  # spans a second: ingest comes first above this; up to 30,000 the answers keep up
BUSY_SHARE = 0.1  # of the time, for passes while ingest comes first
LONGEST_PAUSE_S = 10.0
TRACE = ["trace_hi", "trace_lo"]
_WANTED = "(trace_hi, trace_lo) IN (SELECT (trace_hi, trace_lo) FROM wanted)"
GROUP = (
    "kind", "dialect", "tenant", "agent", "agent_version", "service", "service_version", "environment", "provider",
    "model", "request_model", "service_tier", "tool_server", "tool", "tool_class",
)  # fmt: skip


@dataclass(frozen=True)
class Analysis:
    """Rows for the tables `runs`, `calls` (with the columns of `call_groups`), `findings`, `runless_traces`."""

    runs: pl.DataFrame
    calls: pl.DataFrame
    findings: pl.DataFrame
    runless: pl.DataFrame


@dataclass(frozen=True)
class PassResult:
    """What a pass did. `lag_s`: how long the oldest span of the pass had waited when its rows could be queried;
    `behind`: more batches wait."""

    batches: int
    traces: int
    spans: int
    seconds: float
    lag_s: float
    behind: bool


def analyse(
    read: frames.Frames,
    bookings: pl.DataFrame,
    book: PriceBook,
    now_ns: int,
    detectors: Sequence[Detector] = DETECTORS,
) -> Analysis:
    """Runs, calls and findings of whole traces. Pure: the same traces, bookings, book and time give the same rows."""
    spans, heads = structure.number_runs(structure.inherit(structure.arrange(read.spans)))
    runless = spans.select(*TRACE, first_batch="trace_batch").unique().join(heads, on=TRACE, how="anti")
    heads = runs.judge(spans, heads, now_ns)
    key = ["run", *TRACE, "run_span", "run_id"]
    calls = find_calls(spans, read.tool_parts, heads.filter(pl.col("status") != "ok")["run"])
    calls = calls.join(heads.select(key), on="run", maintain_order="left")
    calls = cost.book_calls(cost.price(calls, book), bookings)
    findings = pl.concat([d.run(calls).with_columns(rule=pl.lit(d.rule)) for d in detectors])
    wasted = findings["wasted"].explode().drop_nulls().unique()
    at = pl.int_range(pl.len()).is_in(wasted.implode())
    calls = calls.with_columns(wasted_pusd=pl.when(at).then("cost_pusd").fill_null(0))
    rows = runs.summarise(spans, heads, calls, findings)
    findings = findings.join(rows.select([*key, "tenant"]), on="run", maintain_order="left")
    return Analysis(rows, calls, findings.with_columns(finding_id=_finding_ids(findings)), runless)


def analyse_all(read: frames.Frames, bookings: pl.DataFrame, book: PriceBook, now_ns: int) -> Analysis:
    """`analyse`, and should one trace make it fail, all the others: that one is logged and has no run."""
    try:
        return analyse(read, bookings, book, now_ns)
    except Exception:
        traces = read.traces.select(TRACE).unique(maintain_order=True)
        if len(traces) == 1:
            log.exception("a trace could not be analysed and is left out", extra={"trace": traces.row(0)})
            return analyse(read.of(traces.clear()), bookings, book, now_ns)
    half = len(traces) // 2
    parts = [analyse_all(read.of(some), bookings, book, now_ns) for some in (traces[:half], traces[half:])]
    return Analysis(*(pl.concat([getattr(p, f.name) for p in parts]) for f in fields(Analysis)))


def _finding_ids(findings: pl.DataFrame) -> pl.Series:
    """The same finding keeps its id: rule, tenant, run and first evidence."""
    first = findings.select("rule", "tenant", "run_id", pl.col("span_ids").list.first()).iter_rows()
    ids = [hashlib.blake2b(repr(row).encode(), digest_size=12).hexdigest() for row in first]
    return pl.Series(ids, dtype=pl.String)


class Runner:
    """Keeps the tables of runs true to the stored spans. One at a time owns these tables.

    `clock` gives the time in ns; `rate` how many spans a second ingest writes; `set_horizon` is
    told how far retention has deleted. `book` may be exchanged at any time, `last` is the latest pass.
    """

    def __init__(
        self,
        store: Store,
        book: PriceBook,
        clock: Callable[[], int],
        rate: Callable[[], float] = lambda: 0.0,
        set_horizon: Callable[[int], None] = lambda horizon_ns: None,
    ) -> None:
        self.store, self.book, self.clock, self.rate, self._set_horizon = store, book, clock, rate, set_horizon
        self.last: PassResult | None = None
        self._lock = threading.Lock()
        self._rest_until = 0.0
        self._groups = Dictionary("call_groups", "call_group", GROUP, lambda row: row)
        self._columns: dict[str, list[str]] = {}
        with store.cursor() as cursor:
            self._groups.load(cursor)
            for table in ("runs", "calls", "findings", "runless_traces"):
                self._columns[table] = cursor.sql(f"SELECT * FROM {table} LIMIT 0").columns

    def tick(self) -> None:
        """Passes until nothing waits; while ingest comes first, one and a rest nine times as long (at most 10 s)."""
        while not (pressed := self.rate() > BUSY) or time.monotonic() >= self._rest_until:
            result = self.run_pass(self.clock())
            rest = result.seconds * (1 / BUSY_SHARE - 1)
            self._rest_until = time.monotonic() + min(rest, LONGEST_PAUSE_S)
            if pressed or not result.behind:
                return

    def run_pass(self, now_ns: int) -> PassResult:
        """Look again at every run that new spans, a remap or the clock have touched, and replace its rows.

        Everything is computed from all spans of the traces, and their rows change together with the watermark in one
        transaction: the tables equal a full recomputation for `now_ns`, whatever came when, and a crash loses nothing.
        """
        with self._lock:
            began = time.monotonic()
            with self.store.cursor() as cursor:
                result = self._pass(cursor, now_ns, began)
            self.last = result
            return result

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """A context in which no pass runs, for acts that change runs and calls."""
        with self._lock:
            yield

    def delete_old(self, now_ns: int, retention_days: float) -> upkeep.Deleted:
        """See `upkeep.delete_old`; never in the middle of a pass."""
        with self._lock:
            return upkeep.delete_old(self.store, now_ns, retention_days, self._set_horizon)

    def _pass(self, cursor: Cursor, now_ns: int, began: float) -> PassResult:
        after = int(frames.rows(cursor, "watermark").item())
        new = frames.rows(cursor, "pending_batches", after=after, spans=PASS_SPANS).row(0, named=True)
        upto = after if new["upto"] is None else int(new["upto"])
        touched = frames.rows(cursor, "touched_traces", after=after, upto=upto, self_check=frames.SELF_CHECK)
        remapped = frames.rows(cursor, "remapped_traces", traces=PASS_TRACES)
        due = frames.rows(cursor, "due_traces", now_ns=now_ns)
        traces = pl.concat([touched, due, remapped.select(TRACE)]).unique()
        if len(traces):
            read = frames.read_traces(cursor, traces, after + 1, upto)
            cursor.register("wanted", read.traces)
            extent = frames.rows(cursor, "old_runs").row(0, named=True)
            bookings = frames.rows(cursor, "old_bookings", **_bounds(extent))
            made = analyse_all(read, bookings, self.book, now_ns)
            corrected = cost.corrections(bookings, made.calls, read.spans["span_id"])
            self._replace(read.traces, extent, made, corrected, upto, remapped["place"].to_list(), now_ns)
        elif upto > after:
            with self.store.transaction() as writing:
                _set_watermark(writing, upto, now_ns)
        lag_ns = self.clock() - new["oldest"] * runs.BATCH_NS if new["upto"] is not None else 0
        return PassResult(
            batches=new["batches"],
            traces=len(traces),
            spans=new["spans"],
            seconds=time.monotonic() - began,
            lag_s=lag_ns / 10**9,
            behind=(new["newest"] is not None and new["newest"] > upto) or len(remapped) == PASS_TRACES,
        )

    def _replace(
        self,
        traces: pl.DataFrame,
        extent: dict[str, Any],
        new: Analysis,
        corrected: pl.DataFrame,
        upto: int,
        places: list[int],
        now_ns: int,
    ) -> None:
        """Write a pass: the old rows of its traces go, the new ones, the corrections of what was booked and the
        watermarks come, all or nothing. `places`: those of the remapped traces that it looked at."""
        groups = new.calls.select(GROUP).unique(maintain_order=True)
        with self.store.cursor() as cursor:
            self._groups.recall(cursor, groups.iter_rows())
        ids = pl.Series("call_group", self._groups.ids(groups.iter_rows()), dtype=pl.Int32)
        calls = new.calls.join(groups.with_columns(ids), on=list(GROUP), nulls_equal=True, maintain_order="left")
        starts = [new.runs["started_ns"], calls["start_ns"]]  # of what comes and of what goes
        try:
            with self.store.transaction() as cursor:
                cursor.register("wanted", traces)
                if extent["first_ns"] is not None:
                    during = f"BETWEEN {extent['first_ns']} AND {extent['ended_ns']}"
                    for table, column in (("calls", "start_ns"), ("findings", "started_ns"), ("runs", "started_ns")):
                        old = f"{table} WHERE {column} {during} AND {_WANTED}"
                        gone = cursor.execute(f"DELETE FROM {old} RETURNING {column}")
                        starts.append(pl.Series(gone.fetchnumpy()[column]))
                cursor.execute(f"DELETE FROM runless_traces WHERE {_WANTED}")
                if (fresh := self._groups.take_fresh()) is not None:
                    cursor.register("incoming", fresh)
                    cursor.execute("INSERT INTO call_groups BY NAME SELECT * FROM incoming")
                for table, rows in (
                    ("runs", new.runs), ("calls", calls), ("findings", new.findings), ("runless_traces", new.runless)
                ):  # fmt: skip
                    cursor.register("incoming", rows.select(self._columns[table]))
                    cursor.execute(f"INSERT INTO {table} SELECT * FROM incoming")
                if len(corrected):
                    cursor.register("incoming", corrected.with_columns(at_ns=pl.lit(now_ns)))
                    cursor.execute("INSERT INTO booking_corrections BY NAME SELECT * FROM incoming")
                minutes = (pl.concat(starts) // MINUTE_NS).unique().to_list()
                slo_events.touch(cursor, minutes)
                cost_bins.touch(cursor, minutes, now_ns)
                _set_watermark(cursor, upto, now_ns)
                if places:
                    cursor.execute("DELETE FROM remap_watermark")
                    cursor.execute("INSERT INTO remap_watermark VALUES (?)", [max(places)])
        except BaseException:
            with self.store.cursor() as cursor:
                self._groups.load(cursor)
            raise


def _bounds(extent: dict[str, Any]) -> dict[str, int]:
    return {name: 0 if value is None else int(value) for name, value in extent.items()}


def _set_watermark(cursor: Cursor, batch: int, now_ns: int) -> None:
    cursor.execute("DELETE FROM watermarks WHERE job = 'runs'")
    cursor.execute("INSERT INTO watermarks VALUES ('runs', ?, ?)", [batch, now_ns])


@dataclass(frozen=True)
class Job:
    """Something to do every `every_s` seconds."""

    name: str
    every_s: float
    run: Callable[[Runner, float], object]


JOBS: tuple[Job, ...] = (
    Job("runs", 0.5, lambda runner, _: runner.tick()),
    Job("checkpoint", 5, lambda runner, _: upkeep.checkpoint_when_idle(runner.store, runner.clock())),
    Job("rest", 30, lambda runner, _: upkeep.rest_when_idle(runner.store, runner.clock())),
    Job("cost bins", 10, lambda runner, _: cost_bins.refresh(runner.store, runner.clock())),
    Job("arrival sums", 10, lambda runner, _: arrival_sums.refresh(runner.store)),
    Job("retention", 3600, lambda runner, days: runner.delete_old(runner.clock(), days)),
)


def schedule(scheduler: Any, runner: Runner, retention_days: float, jobs: Sequence[Job] = JOBS) -> None:
    """Let an APScheduler run the jobs at once and then every `every_s`; a turn is skipped while the last one runs."""
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)  # a skipped turn is no news
    for job in jobs:
        scheduler.add_job(
            job.run,
            "interval",
            [runner, retention_days],
            seconds=job.every_s,
            next_run_time=datetime.now(UTC),
            name=job.name,
            coalesce=True,
            misfire_grace_time=None,
        )
