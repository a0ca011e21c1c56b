"""What coding agents count themselves, as rows of `metric_points`: to compare with the calls, never to add to them."""

from collections import Counter
from typing import NamedTuple

from collector.dialects.emitters import meter
from collector.dialects.resources import UNKNOWN_SERVICE, attributes_of
from collector.otlp import points

UNKNOWN = ("rejected", "metric_not_understood")
REPEATS = ("dropped", "metric_repeats_others")
_SESSION = ("session.id", "conversation.id")


class Point(NamedTuple):
    """One data point. `series` is the whole identity of its series, to be hashed; times in ns, `value` in the unit of
    `field` (tokens, USD)."""

    service: str
    session: str | None
    model: str | None
    metric: str
    field: str
    series: bytes
    cumulative: bool
    start_ns: int
    end_ns: int
    value: float


def points_of_metrics(body: bytes) -> tuple[list[Point], Counter[tuple[str, str]]]:
    """The understood data points of a checked ExportMetricsServiceRequest, and what became of the others: (outcome,
    reason) -> points."""
    found: list[Point] = []
    others: Counter[tuple[str, str]] = Counter()
    for metric in points.metrics(body):
        known = meter(metric.name) if metric.read else None
        if known is None:
            others[UNKNOWN] += len(metric.points)
            continue
        service = attributes_of(metric.resource).get("service.name", UNKNOWN_SERVICE)
        for point in metric.points:
            told = points.attributes(point)
            field = known.field_of(told.get(known.kind, ""))
            if not field:
                others[REPEATS] += 1
                continue
            session = next((told[k] for k in _SESSION if k in told), None)
            series = repr((metric.name, sorted(told.items()))).encode("utf-8", "replace") + metric.resource
            times = min(point.start_time_unix_nano, 2**63 - 1), min(point.time_unix_nano, 2**63 - 1)
            row = (service, session, told.get("model"), metric.name, field, series, metric.cumulative, *times)
            found.append(Point(*row, points.value(point)))
    return found, others
