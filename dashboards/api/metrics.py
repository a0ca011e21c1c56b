"""/metrics: what agents did, what it cost, and how this process is doing, for Prometheus."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from analytics import metrics
from analytics.metrics import SUM, Family
from analytics.reports import listings
from analytics.reports.slos import slos
from collector.telemetry import REGISTRY

router = APIRouter(tags=["health"])

Totals = Sequence[tuple[list[str], list[str], int]]


class Scrape(Collector):
    """The families of one scrape, those of the process among them."""

    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        return itertools.chain(REGISTRY.collect(), self._families())


@router.get("/metrics", response_class=Response)
def get_metrics(request: Request) -> Response:
    """Counters, histograms and gauges in the text form that the scraper asks for (Prometheus or OpenMetrics)."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Scrape(lambda: _families(request)))
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), media_type=content_type)


def _families(request: Request) -> Iterator[Metric]:
    state = request.app.state
    now_ns = state.clock()
    with listings.reading(state.store) as cursor:
        totals, lag = metrics.totals(cursor), listings.currency(cursor, now_ns)["lag"]
    for family in metrics.FAMILIES:
        yield (_histogram if family.buckets else _counter)(family, totals[family.name])
    yield from _budgets(slos(state.store, state.slos, now_ns, windows=state.maintenance)["items"])
    yield _gauge("jobs_lag_seconds", "Age of the oldest stored span that is in no run yet.", lag["seconds"])
    yield _gauge("jobs_lag_spans", "Stored spans that are in no run yet.", lag["spans"])
    yield _gauge("queue_bytes", "Bytes taken in and not acknowledged yet.", state.queue_bytes())
    if checked := state.self_check():
        yield _gauge("self_check_ok", "1 if the last self-check span was acknowledged and found.", checked.ok)
        yield _gauge("self_check_time_seconds", "When the last self-check ran, in Unix time.", checked.at_ns / 1e9)
        if checked.queryable_s is not None:
            text = "From the acknowledgement of the last self-check span until a query found it."
            yield _gauge("self_check_queryable_seconds", text, checked.queryable_s)
    build = GaugeMetricFamily("spanledger_build_info", "This version of spanledger; always 1.", labels=["version"])
    build.add_metric([state.version], 1)
    yield build


def _counter(family: Family, totals: Totals) -> Metric:
    found = CounterMetricFamily(family.name, family.help, labels=[*family.keys, *family.kinds])
    for keys, kinds, value in totals:
        found.add_metric([*keys, *kinds], value / family.unit)
    return found


def _histogram(family: Family, totals: Totals) -> Metric:
    """Buckets are kept apart and exposed added up, as the format wants them."""
    found = HistogramMetricFamily(family.name, family.help, labels=list(family.keys))
    for keys, rows in itertools.groupby(totals, lambda row: row[0]):
        counts = {kinds[0]: value for _, kinds, value in rows}
        bounds = [*(str(bound) for bound in family.buckets), "+Inf"]
        sums = itertools.accumulate(counts.get(bound, 0) for bound in bounds)
        found.add_metric(keys, list(zip(bounds, sums, strict=True)), counts.get(SUM, 0) / family.unit)
    return found


def _budgets(rows: Sequence[dict[str, Any]]) -> Iterator[Metric]:
    """Burn and budget of each SLO: of the group that is worst off, so that a scrape stays small."""
    burn = GaugeMetricFamily("slo_burn_rate", "Burn rate of the worst group.", labels=["slo", "window"])
    left = GaugeMetricFamily(
        "slo_budget_remaining", "Share of the budget that the worst group has left.", labels=["slo"]
    )
    burns: dict[tuple[str, str], float] = {}
    lefts: dict[str, float] = {}
    for row in rows:
        name = row["slo"]
        for window in row["windows"]:
            if window["burn"] is not None:
                key = name, window["window"]
                burns[key] = max(burns.get(key, 0.0), window["burn"])
        if row["budget_left"] is not None:
            lefts[name] = min(lefts.get(name, 1.0), row["budget_left"])
    for labels, value in burns.items():
        burn.add_metric(labels, value)
    for name, value in lefts.items():
        left.add_metric([name], value)
    yield from (burn, left)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
