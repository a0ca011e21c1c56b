"""The runner: what passes write equals a full recomputation, whatever came when."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from apscheduler.schedulers.background import BackgroundScheduler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import jobs, upkeep
from analytics.jobs import Runner, schedule
from analytics.pricing.book import PriceBook
from analytics.runs import SILENCE_NS
from collector.semconv import Flag
from collector.store import Store
from tests.analytics.arrivals import SPAN_TABLES, TABLES, Booker, booked, clear, one, put
from tests.analytics.spans import SECOND, Span, agent, llm, part, span, tool
from tests.stores import DEMO_NOW_NS, demo_store, empty_store

BOOK = PriceBook.seeded()
MAKERS: tuple[Callable[..., Span], ...] = (agent, llm, llm, tool, tool, span)
PASSES_EXAMPLES = int(os.environ.get("JOBS_EXAMPLES", "12"))  # a search for hours is one variable away
ROWS = {
    "runs": "SELECT * FROM runs",
    "calls": "SELECT c.* EXCLUDE (call_group), g.* EXCLUDE (call_group) "
    "FROM calls c JOIN call_groups g USING (call_group)",
    "findings": "SELECT * FROM findings",
    "runless_traces": "SELECT * FROM runless_traces",
}


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An empty store for many examples, each of which clears it."""
    store = empty_store(tmp_path_factory.mktemp("jobs") / "jobs.duckdb")
    yield store
    store.close()


@pytest.fixture
def store(shared_store: Store) -> Store:
    """The store, without rows."""
    clear(shared_store, *SPAN_TABLES, *TABLES)
    return shared_store


def result(store: Store) -> dict[str, list[str]]:
    """Everything that the jobs wrote, in an order of its own."""
    with store.cursor() as c:
        return {name: sorted(str(row) for row in c.sql(query).pl().to_dicts()) for name, query in ROWS.items()}


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Span], list[Span]]:
    """Spans of a few traces that meet in every way: nested, orphaned, cyclic, joined by run ids,
    responses and time, quarantined."""
    spans: list[Span] = []
    for span_id in range(1, draw(st.integers(2, 14)) + 1):
        make = draw(st.sampled_from(MAKERS))
        spans.append(
            make(
                span_id,
                draw(st.one_of(st.none(), st.integers(1, 18))),
                start=draw(st.integers(0, 40)),
                trace_lo=draw(st.integers(1, 5)),
                batch=draw(st.integers(1, 4)),
                status=draw(st.sampled_from(["ok", "ok", "error"])),
                flags=int(
                    draw(st.sampled_from([Flag(0)] * 6 + [Flag.REMOTE_PARENT, Flag.TIME_ABSURD, Flag.USAGE_ABSURD]))
                ),
                own_tenant=draw(st.sampled_from([None, None, "acme"])),
                own_run_ref=draw(st.sampled_from([None] * 8 + ["turn-1", "turn-2"])),
                ingest_tenant=draw(st.sampled_from([None] * 8 + ["credential"])),
                input_tokens=draw(st.sampled_from([None, 10, 1000])),
                args_hash=draw(st.sampled_from([None, 5, 5, 5])),
                response_hash=draw(st.sampled_from([None, None, None, 7, 8])),
                scope=draw(st.sampled_from(["framework", "sdk"])),
                instance=draw(st.sampled_from([None, "process", "process"])),
                duration_ns=draw(st.sampled_from([SECOND, 3 * SECOND, 8 * SECOND])),
            )
        )
    held = draw(st.lists(st.tuples(st.sampled_from(spans), st.integers(50, 52), st.booleans()), max_size=4))
    return spans, [
        part(
            s["span_id"], call, asked=asked, answered=not asked, **{k: s[k] for k in ("batch", "trace_hi", "trace_lo")}
        )
        for s, call, asked in held
    ]


@pytest.mark.slow
@settings(
    max_examples=PASSES_EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(histories(), st.data())
def test_any_passes_equal_one(shared_store: Store, history: tuple[list[Span], list[Span]], data: st.DataObject) -> None:
    """Shuffled, split over batches, read twice, with restarts in between: the same rows as one pass over all. What was
    booked on the way and its corrections add up to what is shown, which is what one pass books."""
    (spans, parts), store = history, shared_store
    now_ns = 4 * 10**6 + data.draw(st.sampled_from([SECOND, SILENCE_NS + SECOND]))
    clear(store, *SPAN_TABLES, *TABLES)
    runner, booker = Runner(store, BOOK, lambda: now_ns), Booker()
    for batch in range(1, 5):
        put(store, [s for s in spans if s["batch"] == batch], [p for p in parts if p["batch"] == batch])
        step = data.draw(st.sampled_from(["pass", "restart", "again", "wait"]))
        if step == "restart":
            runner = Runner(store, BOOK, lambda: now_ns)
        if step == "again":
            with store.cursor() as c:
                c.execute("UPDATE watermarks SET batch = batch - 2")
        if step != "wait":
            runner.run_pass(batch * 10**6)
            booker.look(store)
    runner.run_pass(now_ns)
    shown, gradual = booker.look(store), result(store)
    clear(store, *TABLES)
    Runner(store, BOOK, lambda: now_ns).run_pass(now_ns)
    assert result(store) == gradual
    assert (sum(booked(store).values()), one(store, "SELECT count(*) FROM booking_corrections")) == (shown, 0)


def test_a_pass_takes_whole_batches_up_to_its_size(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog is worked off in passes of bounded size, one batch at least, and the last says that nothing waits."""
    monkeypatch.setattr(jobs, "PASS_SPANS", 3)
    for batch in range(1, 5):
        put(store, [llm(10 * batch + i, 1, trace_lo=batch, batch=batch) for i in range(2)])
    runner = Runner(store, BOOK, lambda: 9 * SECOND)
    first, second, third = (runner.run_pass(10**9) for _ in range(3))
    assert [(p.batches, p.spans, p.behind) for p in (first, second, third)] == [
        (2, 4, True),
        (2, 4, False),
        (0, 0, False),
    ]
    assert first.lag_s == pytest.approx(8.999)
    assert one(store, "SELECT batch FROM watermarks WHERE job = 'runs'") == 4


def test_the_clock_changes_a_status_without_new_spans(store: Store) -> None:
    """A run that fell silent is stuck after ten minutes, not before and once."""
    put(store, [llm(2, 1)])
    runner = Runner(store, BOOK, lambda: 0)
    assert runner.run_pass(SECOND).traces == 1
    assert runner.run_pass(2 * SECOND).traces == 0
    assert runner.run_pass(10**6 + SILENCE_NS).traces == 1
    assert one(store, "SELECT status FROM runs") == "stuck"
    assert runner.run_pass(10**6 + 2 * SILENCE_NS).traces == 0


def test_a_failed_write_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a pass cannot be written the old rows and the watermark stay, and the next pass makes it good."""
    put(store, [agent(1), llm(2, 1)])
    runner = Runner(store, BOOK, lambda: 0)
    runner.run_pass(SECOND)
    before = result(store)
    put(store, [llm(3, 1, model="gpt-4o-mini", batch=2)])

    def fail(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_set_watermark", fail)
        with pytest.raises(OSError, match="disk full"):
            runner.run_pass(SECOND)
    assert result(store) == before
    runner.run_pass(SECOND)
    assert one(store, "SELECT llm_calls FROM runs") == 2
    assert one(store, "SELECT count(*) FROM calls JOIN call_groups USING (call_group)") == 2


def test_one_bad_trace_costs_only_itself(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace that cannot be analysed is logged and left out; the runs beside it are written and the pass goes on."""
    put(store, [s for n in range(1, 8) for s in (agent(10 * n, trace_lo=n), llm(10 * n + 1, 10 * n, trace_lo=n))])
    analyse = jobs.analyse

    def fail(read: Any, *rest: Any) -> Any:
        if 3 in read.spans["trace_lo"]:
            raise ValueError("odd trace")
        return analyse(read, *rest)

    monkeypatch.setattr(jobs, "analyse", fail)
    assert not Runner(store, BOOK, lambda: 0).run_pass(SECOND).behind
    assert one(store, "SELECT list(trace_lo ORDER BY trace_lo) FROM runs") == [1, 2, 4, 5, 6, 7]
    assert one(store, "SELECT count(*) FROM calls") == 6


def test_an_absurd_root_is_replaced_too(store: Store) -> None:
    """A root that is quarantined for its usage lies before the first counted span: its run is still written once."""
    put(store, [agent(1, start=1, flags=int(Flag.USAGE_ABSURD)), llm(2, 1, 50, duration_ns=-(10**12))])
    runner = Runner(store, BOOK, lambda: 0)
    runner.run_pass(SECOND)
    put(store, [llm(3, 1, 60, batch=2, duration_ns=-(10**12))])
    runner.run_pass(SECOND)
    assert [one(store, f"SELECT count(*) FROM {table}") for table in ("runs", "calls")] == [1, 2]


def test_runs_whose_spans_are_gone_do_no_harm(store: Store) -> None:
    """A run that the clock touches after its spans were deleted goes as well."""
    put(store, [llm(2, 1)])
    runner = Runner(store, BOOK, lambda: 0)
    runner.run_pass(SECOND)
    clear(store, "span_log")
    assert runner.run_pass(10**6 + SILENCE_NS).traces == 1
    assert one(store, "SELECT count(*) FROM runs") == 0


def test_self_checks_are_no_runs(store: Store) -> None:
    """A span that proves the path reaches no total, but moves the watermark."""
    put(store, [llm(1, flags=int(Flag.SELF_CHECK))])
    assert Runner(store, BOOK, lambda: 0).run_pass(SECOND).traces == 0
    assert one(store, "SELECT count(*) FROM runs") == 0
    assert one(store, "SELECT batch FROM watermarks") == 1


def test_a_new_book_restates_but_does_not_rebook(store: Store) -> None:
    """What was booked stays when the run is priced again with another book."""
    put(store, [agent(1), llm(2, 1)])
    Runner(store, BOOK, lambda: 0).run_pass(SECOND)
    booked = one(store, "SELECT booked_pusd FROM calls")
    put(store, [llm(3, 1, batch=2)])
    Runner(store, PriceBook("free", [], None), lambda: 0).run_pass(SECOND)
    with store.cursor() as c:
        rows = c.execute("SELECT span_id, pricing, cost_pusd, booked_pusd FROM calls ORDER BY span_id").fetchall()
    assert rows == [(2, "unpriced", None, booked), (3, "unpriced", None, None)]
    assert one(store, "SELECT booked_pusd FROM runs") == booked


def test_demo_runs_come_out_as_they_were_written(tmp_path: Path) -> None:
    """Two hundred synthetic runs of every scenario: the jobs find the status, calls and tokens that were written."""
    store = demo_store(tmp_path / "demo.duckdb")
    same = (
        "status",
        "llm_errors",
        "tool_errors",
        "tool_denied",
        "policy_checks",
        "policy_denials",
        "input_tokens",
        "agents",
    )
    query = f"SELECT run_id, {', '.join(same)} FROM runs ORDER BY run_id"
    with store.cursor() as c:
        written = c.sql(query).pl()
    clear(store, *TABLES)
    Runner(store, BOOK, lambda: DEMO_NOW_NS).run_pass(DEMO_NOW_NS)
    with store.cursor() as c:
        assert c.sql(query).pl().equals(written)
    store.close()


def test_retention_counts_from_arrival_and_moves_the_horizon(store: Store) -> None:
    """Old batches go with the runs that got nothing since; ingest hears of the latest start before; absurd times do
    not count."""
    day_ms = 86_400_000
    absurd = llm(5, 1, start=10**9, flags=int(Flag.TIME_ABSURD), trace_lo=1)
    put(store, [agent(1, start=50), llm(2, 1, start=60), absurd], [part(2, 7)])
    put(store, [agent(3, start=5, trace_lo=2, batch=9 * day_ms)])
    horizons: list[int] = []
    runner = Runner(store, BOOK, lambda: 0, set_horizon=horizons.append)
    now_ns = 10 * day_ms * 10**6
    runner.run_pass(now_ns)
    deleted = runner.delete_old(now_ns, 5)
    assert (deleted.batches, deleted.spans, deleted.runs) == (1, 3, 1)
    assert horizons == [60 * SECOND]
    assert one(store, "SELECT value FROM store_facts WHERE fact = 'horizon_ns'") == str(60 * SECOND)
    assert one(store, "SELECT (SELECT count(*) FROM calls) + (SELECT count(*) FROM message_tool_calls)") == 0
    assert one(store, "SELECT count(*) FROM runs") == 1
    assert runner.delete_old(now_ns, 5).spans == 0
    assert horizons == [60 * SECOND]
    clear(store, "store_facts")


def test_the_log_is_folded_only_while_nothing_arrives(store: Store) -> None:
    """A checkpoint waits for five quiet seconds."""
    put(store, [llm(1, batch=1000)])
    assert not upkeep.checkpoint_when_idle(store, 3 * SECOND)
    assert store.wal_bytes()
    assert upkeep.checkpoint_when_idle(store, 7 * SECOND)
    assert not store.wal_bytes()
    assert not upkeep.checkpoint_when_idle(store, 7 * SECOND)


def test_memory_is_given_back_after_a_quiet_minute(store: Store) -> None:
    """The cache of blocks goes once nothing has arrived for a minute; the spans of self-checks are no arrivals."""
    put(store, [llm(1, batch=1000), llm(2, batch=90_000, flags=int(Flag.SELF_CHECK))])
    assert not upkeep.rest_when_idle(store, 60 * SECOND)
    assert upkeep.rest_when_idle(store, 62 * SECOND)
    assert upkeep.rest_when_idle(store, 91 * SECOND)


def test_passes_rest_while_ingest_is_under_pressure(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under pressure a pass is followed by a rest of nine times its length, at most ten seconds; else by the next."""
    monkeypatch.setattr(jobs, "PASS_SPANS", 1)
    pressure, moment, length, passes = [50_000.0], [0.0], [0.0], []
    runner = Runner(store, BOOK, lambda: 0, rate=lambda: pressure[0])
    real = runner.run_pass

    def timed(now_ns: int) -> jobs.PassResult:
        done = real(now_ns)
        passes.append(done.batches)
        return replace(done, seconds=length[0])

    monkeypatch.setattr(runner, "run_pass", timed)
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    for batch in range(1, 8):
        put(store, [llm(batch, 1, trace_lo=batch, batch=batch)])
    for length[0], rest in ((0.5, 4.5), (60.0, 10.0)):
        moment[0] += 0.01
        runner.tick()
        done = len(passes)
        moment[0] += rest - 0.01
        runner.tick()
        assert len(passes) == done
        moment[0] += 0.01
    pressure[0] = 30_000.0
    runner.tick()
    assert sum(passes) == 7


def test_the_scheduler_runs_the_jobs(store: Store) -> None:
    """Spans that arrive become runs without anybody asking, and a job that fails is tried again."""
    done, attempts = threading.Event(), []

    def fail_once(*_: object) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("disk full")
        done.set()

    put(store, [agent(1), llm(2, 1)])
    scheduler = BackgroundScheduler()
    scheduler.start()
    every = (jobs.Job("runs", 0.01, jobs.JOBS[0].run), jobs.Job("failing", 0.01, fail_once))
    schedule(scheduler, Runner(store, BOOK, lambda: SECOND), 400, every)
    assert done.wait(10)
    for _ in range(100):
        if one(store, "SELECT count(*) FROM runs"):
            break
        time.sleep(0.05)
    scheduler.shutdown()
    assert one(store, "SELECT count(*) FROM runs") == 1
    assert {"runs", "checkpoint", "retention"} <= {job.name for job in jobs.JOBS}
