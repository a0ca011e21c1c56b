"""How emitters speak: nothing that they leave out is hidden, and nothing is held against one that does not."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from analytics.reports.counters import counters
from analytics.reports.quality import Quality, quality
from collector.identity import Credential
from collector.ingest import Ingest
from collector.semconv import Flag
from collector.store import Store
from tests.collector.captures import CODING_AGENTS, scenarios
from tests.needed import SHARED, missing
from tests.stores import empty_store
from tests.tables import call, put

NOW_NS = 1_795_300_000 * 10**9
OPEN = Credential("open", None, frozenset({"ingest"}))


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quality]:
    """The data quality of all captured frameworks."""
    found = [s for s in scenarios() if s.folder.name not in CODING_AGENTS]
    if not found:
        missing(f"{SHARED} is not there")
    store = empty_store(tmp_path_factory.mktemp("captures") / "spanledger.duckdb")

    async def send() -> None:
        ingest = Ingest(store, b"k" * 32, clock_ns=lambda: NOW_NS)
        ingest.start()
        for body in (body for scenario in found for body in scenario.bodies()):
            await ingest.accept("traces", body, OPEN)
        await ingest.stop()

    asyncio.run(send())
    Runner(store, PriceBook.seeded(), lambda: NOW_NS).run_pass(NOW_NS)
    yield quality(store, NOW_NS, from_ns=0, to_ns=NOW_NS + 10**12)
    store.close()


@pytest.mark.slow
def test_only_real_defects_are_told(captured: Quality) -> None:
    """Of all captured emitters one lacks what can be counted, and exactly that is told: it sends no cached tokens."""
    counted = [d for d in captured["defects"] if d["evidence"] == "counted"]
    told = {(d["dialect"], d["scope"], d["defect"]) for d in counted}

    assert told == {("genai-legacy", "opentelemetry.instrumentation.openai_v2", "no_cached_tokens")}
    assert all(d["items"] <= d["of"] and d["sentence"].endswith(".") for d in captured["defects"])


@pytest.mark.slow
def test_what_captures_lack_is_told(captured: Quality) -> None:
    """Whatever else the tests of captures excuse as the emitter's own is told as a known gap of that emitter."""
    known = {(d["scope"], d["sentence"]) for d in captured["defects"] if d["evidence"] == "known"}
    told = {scope: " ".join(s for at, s in known if at == scope) for scope, _ in known}

    for scope, *words in (
        ("opentelemetry.instrumentation.openai_v2", "Responses API", "tool spans"),
        ("strands.telemetry.tracer", "the model that answered"),
        ("gcp.vertex.agent", "the model that answered", "a callback's refusal"),
        ("litellm", "the model that answered a stream", "tool calls after the first", "a run id"),
        ("openinference.instrumentation.openai_agents", "whether a guardrail triggered", "the root's status"),
    ):
        assert [word for word in words if word not in told[scope]] == []


@pytest.mark.slow
def test_dialects_add_up(captured: Quality) -> None:
    """Kinds and kinds of mapping add up to the spans, spans to what was accepted, calls by pricing to the calls."""
    dialects = captured["dialects"]

    assert sum(d["spans"] for d in dialects) == captured["total"]["accepted"]
    assert len(dialects) > 8
    for d in dialects:
        assert sum(d["kinds"].values()) == d["spans"] == d["exact"] + d["assumed"] + d["none"], d
        assert d["priced_calls"] + d["unpriced_calls"] + d["unknown_calls"] == d["model_calls"], d
        assert d["sums_differing"] <= d["sums_told"], d
    assert sum(d["sums_told"] for d in dialects) > 5
    assert sum(d["sums_differing"] for d in dialects) == 0


@pytest.fixture
def store(tmp_path: Any) -> Iterator[Store]:
    """An empty store."""
    store = empty_store(tmp_path / "spanledger.duckdb")
    yield store
    store.close()


def _sent(store: Store, spans: list[dict[str, Any]]) -> Quality:
    facet = {"mapping": "exact", "status": "ok", "model": "m", "kind": "llm.call", "dialect": "d"}
    with store.transaction() as c:
        put(c, "facets", [facet | {"facet": 1}, facet | {"facet": 2, "kind": "agent.run"}])
        put(c, "sources", [{"source": 1, "scope": "emitter", "scope_version": "1.0", "service": "s"}])
        none = {"cache_read_tokens": -1, "input_tokens": -1, "output_tokens": -1}
        common = none | {"batch": NOW_NS // 10**6, "source": 1, "facet": 1, "start_ns": NOW_NS, "trace_lo": 1}
        put(c, "span_log", [common | {"span_id": n + 1} | span for n, span in enumerate(spans)])
    return quality(store, NOW_NS, from_ns=NOW_NS - 10**12, to_ns=NOW_NS + 10**12)


def test_each_defect_has_its_check(store: Store) -> None:
    """Clocks that run back, dropped attributes, an assumed basis, sampling: each is told with how many of how many."""
    flags = (Flag.CLOCK_BACKWARDS, Flag.ATTRIBUTES_DROPPED, Flag.USAGE_ASSUMED, Flag.SAMPLED, Flag(0))
    found = _sent(store, [{"flags": int(flag), "input_tokens": 10, "output_tokens": 1} for flag in flags])

    assert {d["defect"]: (d["items"], d["of"]) for d in found["defects"]} == {
        "clock_backwards": (1, 5), "attributes_dropped": (1, 5), "usage_assumed": (1, 5), "sampled": (1, 5),
    }  # fmt: skip
    assert {d["scope_version"] for d in found["defects"]} == {"1.0"}


def test_a_sum_that_is_not_that_of_the_calls_is_told(store: Store) -> None:
    """The topmost span says 100 tokens, its run's calls say 60; an answered call without usage is told as well."""
    with store.transaction() as c:
        values = {"status": "ok", "input_tokens": 60, "output_tokens": 5, "run_id": "r", "tenant": "t"}
        put(c, "runs", [values | {"trace_lo": 1, "started_ns": NOW_NS}])
        silent = call(c, NOW_NS, "llm.call", pricing="unknown", dialect="d")
        put(c, "calls", [silent | {"trace_lo": 1, "span_id": 2}])
    root = {"facet": 2, "flags": int(Flag.AGGREGATE), "input_tokens": 100, "output_tokens": 5}
    found = _sent(store, [root, {"parent_id": 1}])

    assert {d["defect"]: (d["items"], d["of"]) for d in found["defects"]} == {"sums_differ": (1, 1), "no_usage": (1, 1)}
    assert [(d["sums_told"], d["sums_differing"], d["unknown_calls"]) for d in found["dialects"]] == [(1, 1, 1)]


@pytest.mark.parametrize(
    ("counted", "called", "words"),
    [(100, 100, "add up"), (100, None, "no such call"), (100, 75, "25.0% of what"), (75, 100, "25.0% more than")],
)
def test_a_difference_of_counters_is_explained(store: Store, counted: int, called: int | None, words: str) -> None:
    """Equal, counted only, counted more, called more: each means something else."""
    with store.transaction() as c:
        point = {"service": "s", "model": "m", "metric": "tokens", "field": "input_tokens", "value": float(counted)}
        put(c, "metric_points", [point | {"start_ns": NOW_NS, "end_ns": NOW_NS + 10**9, "series": 1}])
        if called is not None:
            made = call(c, NOW_NS + 1, "llm.call", model="m", service="s", input_tokens=called)
            put(c, "calls", [made])
    (found,) = counters(store, NOW_NS)["items"]

    assert words in found["sentence"]
    assert found["difference"] == counted - (called or 0)
