"""Sums of arrivals: whatever was summed already and whatever changed since, the ledger comes out as from all spans."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import arrival_sums, cost_bins, emitter_checks, upkeep
from analytics.arrival_sums import HOUR_MS
from analytics.minute_bins import MINUTE_NS
from collector.semconv import Flag
from collector.store import Store
from tests.stores import empty_store
from tests.tables import call, put, run

START_MS = 1_792_886_400_000  # a whole hour
TABLES = (
    *(
        "span_log",
        "runs",
        "calls",
        "call_groups",
        "arrival_sums",
        "arrival_marks",
        "touched_arrival_hours",
        "watermarks",
    ),
    *("emitter_checks", "cost_bins", "cost_bin_marks", "touched_cost_minutes", "remapped_traces", "remap_watermark"),
)
FLAGS = (0, Flag.LATE, Flag.AGGREGATE, Flag.AGGREGATE | Flag.SAMPLED, Flag.SELF_CHECK, Flag.FOREIGN_TENANT)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Descriptions of spans; each test brings the spans."""
    store = empty_store(tmp_path_factory.mktemp("store") / "spanledger.duckdb")
    facet = {"mapping": "exact", "status": "ok", "dialect": "d", "kind": "llm.call"}
    with store.transaction() as c:
        put(c, "facets", [facet | {"facet": 1}, facet | {"facet": 2, "dialect": "e", "kind": "agent.run"}])
        put(c, "sources", [{"source": n, "scope": f"s{n}", "tenant": "acme", "service": "s"} for n in (1, 2)])
    yield store
    store.close()


@st.composite
def spans(draw: st.DrawFn) -> dict[str, Any]:
    """A span of one of a few traces; `ms`: of arrival after the last one; `looked`: its run and call are there too."""
    return {
        "ms": draw(st.integers(1, HOUR_MS)), "trace_lo": draw(st.integers(1, 4)), "facet": draw(st.integers(1, 2)),
        "source": draw(st.integers(1, 2)), "flags": int(draw(st.sampled_from(FLAGS))),
        "input_tokens": draw(st.sampled_from((-1, 10, 2000))), "parent_id": draw(st.sampled_from((0, 0, 9))),
        "started": draw(st.integers(0, 90)), "looked": draw(st.booleans()),
    }  # fmt: skip


def _arrive(store: Store, batch: int, number: int, span: dict[str, Any]) -> None:
    """Store a span as ingest does; then, where it was `looked` at, its run and call as the runs job does."""
    start_ns = (batch - span["started"] * 60_000) * 10**6
    kept = ("trace_lo", "facet", "source", "flags", "input_tokens", "parent_id")
    row = {name: span[name] for name in kept} | {"output_tokens": 1, "cache_read_tokens": -1}
    with store.transaction() as c:
        put(c, "span_log", [row | {"batch": batch, "span_id": number, "start_ns": start_ns}])
    if span["looked"]:
        with store.transaction() as c:
            trace = {"trace_lo": span["trace_lo"]}
            silent = call(c, start_ns, "llm.call", pricing="unknown", dialect="d") | trace | {"span_id": number}
            put(c, "calls", [silent])
            gone = c.execute("DELETE FROM runs WHERE trace_lo = ? RETURNING started_ns", [span["trace_lo"]]).fetchall()
            came = run(start_ns, arrived_ns=batch * 10**6, input_tokens=10, output_tokens=1, **trace)
            put(c, "runs", [came])
            minutes = {ns // MINUTE_NS for ns in (start_ns, *(row[0] for row in gone))}
            cost_bins.touch(c, minutes, batch * 10**6)
            c.execute("DELETE FROM watermarks")
            c.execute("INSERT INTO watermarks VALUES ('runs', ?, 0)", [batch])


def _remap(store: Store, trace: int) -> None:
    """Give a trace's spans another description, as a remap does."""
    with store.transaction() as c:
        c.execute("UPDATE span_log SET facet = 3 - facet WHERE trace_lo = ?", [trace])
        c.execute(
            "INSERT INTO remapped_traces SELECT coalesce(max(place), 0) + 1, 1, 0, ? FROM remapped_traces", [trace]
        )


def _look_again(store: Store, now_ns: int) -> None:
    """What the runs job does after a remap."""
    with store.transaction() as c:
        minutes = c.execute(
            "SELECT start_ns // 60000000000 FROM calls UNION SELECT started_ns // 60000000000 FROM runs"
        )
        cost_bins.touch(c, [row[0] for row in minutes.fetchall()], now_ns)
        c.execute("DELETE FROM remap_watermark")
        c.execute("INSERT INTO remap_watermark SELECT coalesce(max(place), 0) FROM remapped_traces")


def _told(store: Store, from_ms: int, to_ms: int) -> list[list[tuple[Any, ...]]]:
    """Arrivals and checks of a period, with sums and without."""
    answers = []
    for marked in (True, False):
        with store.cursor() as c:
            c.begin()
            if not marked:
                c.execute("DELETE FROM cost_bin_marks")
                c.execute("DELETE FROM arrival_marks")
            arrival_sums.name_arrivals(c, from_ms, to_ms)
            emitter_checks.name_checks(c, from_ms, to_ms)
            sums = c.execute(_SUMMED).fetchall() + c.execute(_CHECKED).fetchall()
            answers.append(sorted(sums, key=str))
            c.rollback()
    return answers


_SUMMED = """
SELECT hour, signal, tenant, dialect, scope, kind, mapping, sum(accepted), sum(late), sum(foreign_tenant), sum(sampled),
    sum(answered), sum(used), sum(cacheable)
FROM arrivals() GROUP BY ALL
"""
_CHECKED = "SELECT hour, dialect, scope, sum(told), sum(differing), sum(without_usage) FROM checks GROUP BY ALL"


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    arrivals=st.lists(spans(), min_size=1, max_size=8),
    acts=st.lists(st.sampled_from(("refresh", "remap", "look", "delete", "none")), min_size=8, max_size=8),
    bounds=st.tuples(st.integers(0, 2), st.integers(1, 8), st.sampled_from((0, 0, 1_234_567))),
)
def test_sums_and_spans_tell_the_same(
    store: Store, arrivals: list[dict[str, Any]], acts: list[str], bounds: tuple[int, int, int]
) -> None:
    """After any arrivals, remaps, deletions and refreshes: a period's sums are those of its spans, calls and runs."""
    with store.transaction() as c:
        for table in TABLES:
            c.execute(f"DELETE FROM {table}")
    (skip, hours, odd), batch = bounds, START_MS
    first = START_MS + skip * HOUR_MS + odd
    period = first, first + hours * HOUR_MS
    for number, (span, act) in enumerate(zip(arrivals, acts, strict=False), 1):
        batch += span["ms"]
        now_ns = batch * 10**6
        _arrive(store, batch, number, span)
        if act == "remap":
            _remap(store, span["trace_lo"])
        elif act == "look":
            _look_again(store, now_ns)
        elif act == "delete":
            upkeep.delete_old(store, now_ns, 1.5 / 24, lambda horizon_ns: None)
        elif act == "refresh":
            arrival_sums.refresh(store)
            cost_bins.refresh(store, now_ns + cost_bins.QUIET_NS * (number % 2))
        with_sums, without = _told(store, *period)
        assert with_sums == without


def test_what_is_summed_is_not_read_again(store: Store) -> None:
    """After a refresh the answer comes from sums: of whole hours no span is looked at."""
    with store.transaction() as c:
        for table in TABLES:
            c.execute(f"DELETE FROM {table}")
        put(c, "span_log", [{"batch": START_MS + n, "facet": 1, "source": 1, "trace_lo": n} for n in range(5)])
    assert arrival_sums.refresh(store) == 1
    with store.transaction() as c:
        c.execute("DELETE FROM span_log")
        arrival_sums.name_arrivals(c, START_MS, START_MS + HOUR_MS)
        assert c.execute("SELECT sum(accepted)::INTEGER FROM arrivals()").fetchall() == [(5,)]
