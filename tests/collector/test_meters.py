"""Counters of coding agents: understood points are kept, and no export adds up with another."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from collector.backlog import Receipt
from collector.dialects.meters import REPEATS, UNKNOWN, points_of_metrics
from collector.ingest import Ingest
from collector.store import Store
from tests.collector.test_events import any_value
from tests.collector.test_ingest import OPEN, rows, run

DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
TOKENS = "claude_code.token.usage"


def body(
    *points: tuple[int, int, float],
    name: str = TOKENS,
    temporality: AggregationTemporality.ValueType = DELTA,
    **attributes: str,
) -> bytes:
    """A counter whose points are (start, time, value)."""
    message = ExportMetricsServiceRequest()
    metric = message.resource_metrics.add().scope_metrics.add().metrics.add(name=name)
    metric.sum.aggregation_temporality = temporality
    for start, time, value in points:
        point = metric.sum.data_points.add(start_time_unix_nano=start, time_unix_nano=time, as_double=value)
        for key, text in ({"type": "input", "model": "m", "session.id": "s"} | attributes).items():
            point.attributes.add(key=key, value=any_value(text))
    return message.SerializeToString()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = Store(tmp_path / "spanledger.duckdb")
    opened.migrate("collector")
    yield opened
    opened.close()


def counted(store: Store, *bodies: bytes) -> list[float]:
    """What the series count in all after these requests."""

    async def send(ingest: Ingest) -> None:
        for request in bodies:
            await ingest.accept("metrics", request, OPEN)

    run(store, send)
    return [r[0] for r in rows(store, "SELECT value FROM metric_sums ORDER BY field, model, value")]


def test_deltas_add_up_once(store: Store) -> None:
    """Each interval counts once, however often it is sent, in whatever order."""
    first, second = body((0, 10, 5)), body((10, 20, 7))
    assert counted(store, second, first, second) == [12]


def test_the_latest_cumulative_value_counts(store: Store) -> None:
    """Exports of one cumulative counter never add up; a later start is a counter that began anew, and adds."""
    exports = [body((1, t, v), temporality=CUMULATIVE) for t, v in ((30, 9), (10, 2), (20, 5), (30, 9))]
    restarted = body((40, 50, 4), temporality=CUMULATIVE)
    assert counted(store, *exports, restarted) == [13]


def test_two_kinds_may_fill_one_field(store: Store) -> None:
    """Gemini CLI counts thoughts beside its output: both are output."""
    name = "gemini_cli.token.usage"
    assert counted(store, *(body((0, 10, 5), name=name, type=kind) for kind in ("output", "thought", "tool"))) == [10]
    assert rows(store, "SELECT DISTINCT field FROM metric_sums") == [("output_tokens",)]


def test_series_are_told_apart_by_all_attributes(store: Store) -> None:
    """Points that differ in any attribute are other series: both count."""
    assert counted(store, body((0, 10, 5)), body((0, 10, 6), query_source="subagent")) == [11]
    assert rows(store, "SELECT session, model, field FROM metric_sums") == [("s", "m", "uncached_input_tokens")]


def test_other_metrics_are_refused(store: Store) -> None:
    """Unknown metrics are refused with a reason and counted; a row that repeats others is only counted."""

    async def send(ingest: Ingest) -> Receipt:
        return await ingest.accept("metrics", body((0, 1, 1), (1, 2, 1), name="http.requests"), OPEN)

    receipt = run(store, send)
    assert receipt.rejected == 2
    assert "only the token and cost counters" in receipt.message
    assert rows(store, "SELECT signal, outcome, reason, items FROM ingest_events") == [("metrics", *UNKNOWN, 2)]
    total = body((0, 1, 1), name="codex.turn.token_usage", token_type="total")
    assert points_of_metrics(total) == ([], {REPEATS: 1})


def test_other_kinds_of_metrics_are_only_counted() -> None:
    """Gauges, summaries and exponential histograms of a known name are no counters."""
    for kind in ("gauge", "summary", "exponential_histogram"):
        message = ExportMetricsServiceRequest()
        metric = message.resource_metrics.add().scope_metrics.add().metrics.add(name=TOKENS)
        getattr(metric, kind).data_points.add(time_unix_nano=1)
        assert points_of_metrics(message.SerializeToString()) == ([], {UNKNOWN: 1})
