"""The data points of metrics requests, as far as anything reads them: counters and the sums of histograms."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from collector.otlp import anyvalue
from collector.otlp.wire import MESSAGES

KINDS = ("sum", "histogram", "gauge", "exponential_histogram", "summary")
CUMULATIVE = 2  # aggregation_temporality


@dataclass(frozen=True)
class Metric:
    """One metric of a request with its data points; `points` holds messages of the wire, `read` says whether they are
    counters or histograms (others are only counted)."""

    resource: bytes
    scope: bytes
    name: str
    read: bool
    cumulative: bool
    points: Any


def metrics(body: bytes) -> Iterator[Metric]:
    """The metrics of a checked ExportMetricsServiceRequest."""
    for resource in MESSAGES["MetricsRequest"].FromString(body).resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for kind in KINDS:
                    if metric.HasField(kind):
                        data = getattr(metric, kind)
                        read = kind in ("sum", "histogram")
                        cumulative = read and data.aggregation_temporality == CUMULATIVE
                        name = anyvalue.text(metric.name)
                        yield Metric(resource.resource, scope.scope, name, read, cumulative, data.data_points)


def value(point: Any) -> float:
    """What a NumberPoint counts, or the sum of a HistogramPoint."""
    return float(point.sum) if hasattr(point, "sum") else point.as_double + float(point.as_int)


def attributes(point: Any) -> dict[str, str]:
    """Attributes of a data point as text; nested ones are left out."""
    plain = ((a.key, a.value) for a in point.attributes if a.value.WhichOneof("value") not in _NESTED)
    return {anyvalue.text(k): str(anyvalue.python_value(v)) for k, v in plain}


_NESTED = (None, "array_value", "kvlist_value", "bytes_value")
