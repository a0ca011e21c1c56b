"""The sample traces: what is listed is what is sent, and what spanledger makes of it."""

import asyncio
import threading
import time
import tomllib
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from analytics.jobs import Runner
from analytics.pricing.book import PriceBook
from analytics.reports.findings import list_findings
from analytics.reports.runs import list_runs
from collector import http
from collector.identity import Keys
from collector.ingest import Ingest
from collector.settings import Settings
from collector.store import Store
from sample_traces import play
from tests.needed import ROOT

EXPECTED = play.expected()
NOT_OF_A_RUN = {"runs", "findings", "dialect"}
PRICES = tomllib.loads((ROOT / "sample_traces" / "prices.toml").read_text(), parse_float=Decimal)["model"]

# attribute of each dialect, in the order spanledger, genai, openinference
INPUT = ("prompt_tokens", "gen_ai.usage.input_tokens", "llm.token_count.prompt")
OUTPUT = ("completion_tokens", "gen_ai.usage.output_tokens", "llm.token_count.completion")
CACHE_READ = (
    "cached_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "llm.token_count.prompt_details.cache_read",
)
CACHE_WRITE = (
    "cache_write_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "llm.token_count.prompt_details.cache_write",
)
MODEL = ("model", "gen_ai.response.model", "llm.model_name")


def _spans(nodes: list[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for node in play.unrolled(nodes):
        yield node.get("set", {})
        yield from _spans(node.get("spans", []))


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((attributes[name] for name in names if name in attributes), None)


def _cost_usd(attributes: Mapping[str, Any]) -> Decimal:
    """Cost of one model call by the frozen prices; 0 where it has no usage or no price."""
    price = next((p["usd_per_million_tokens"] for p in PRICES if p["model"] == _first(attributes, MODEL)), None)
    if not price or _first(attributes, INPUT) is None:
        return Decimal(0)
    read, write = _first(attributes, CACHE_READ) or 0, _first(attributes, CACHE_WRITE) or 0
    plain = _first(attributes, INPUT) - read - write
    parts: tuple[Decimal, ...] = (
        plain * price["input"],
        read * price["cache_read"],
        _first(attributes, OUTPUT) * price["output"],
    )
    return (sum(parts) + (write * price["cache_write"] if write else 0)) / Decimal(10**6)


@pytest.mark.parametrize("name", EXPECTED)
def test_listed_tokens_and_costs_follow_from_the_spans(name: str) -> None:
    """Tokens, cost and number of runs in scenarios.toml are what the spans of the scenario add up to."""
    scenario, expected = play.load(name), EXPECTED[name]
    spans = list(_spans(scenario["spans"]))

    assert len(scenario["plays"]) == expected["runs"]
    for field, names in (
        ("input_tokens", INPUT),
        ("output_tokens", OUTPUT),
        ("cache_read_tokens", CACHE_READ),
        ("cache_write_tokens", CACHE_WRITE),
    ):
        assert sum(_first(span, names) or 0 for span in spans) == expected[field], field
    assert sum(map(_cost_usd, spans)) == Decimal(expected["cost_usd"])


def test_every_scenario_is_listed() -> None:
    """Each scenario file has its entry and its row in the README, with the figures of the entry."""
    files = {file.stem for file in (ROOT / "sample_traces" / "scenarios").glob("*.yaml")}
    readme = (ROOT / "sample_traces" / "README.md").read_text()

    assert files == set(EXPECTED)
    for name, e in EXPECTED.items():
        figures = ("dialect", "runs", "status", "llm_calls", "tool_calls", "input_tokens", "output_tokens", "cost_usd")
        row = " | ".join([f"| `{name}`", *(str(e[figure]) for figure in figures)])

        assert f"{row} | {', '.join(e['findings'])}".rstrip() in readme, row


def test_the_newest_run_ends_now() -> None:
    """Shifted times leave one run that has just ended and none that ends in the future."""
    minutes_ago = [row["minutes_ago"] for name in EXPECTED for row in play.load(name)["plays"]]

    assert min(minutes_ago) == 0


@contextmanager
def _receiver(ingest: Ingest) -> Iterator[str]:
    """The address of a really listening OTLP/HTTP receiver."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    settings = Settings()
    server = run(http.serve(ingest, Keys.of(settings), "127.0.0.1", 0, settings.limits))
    yield f"http://127.0.0.1:{server.port}"
    run(server.stop(5))
    run(ingest.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store into which all scenarios were played, through the real SDK, exporter, receiver and jobs."""
    store = Store(tmp_path_factory.mktemp("played") / "spanledger.duckdb")
    for package in ("collector", "analytics"):
        store.migrate(package)
    ingest = Ingest(store, b"k" * 32)
    ingest.start()
    with _receiver(ingest) as url:
        play.play(url)
    Runner(store, PriceBook.frozen(ROOT / "sample_traces" / "prices.toml"), time.time_ns).tick()
    return store


@pytest.mark.parametrize("name", EXPECTED)
def test_runs_are_what_is_listed(played: Store, name: str) -> None:
    """Every run of a scenario has exactly the status, calls, tokens, cost and findings that are listed for it."""
    expected, (agent, *_) = EXPECTED[name], play.load(name)["services"]
    wanted = {field: value for field, value in expected.items() if field not in NOT_OF_A_RUN}

    runs = list_runs(played, time.time_ns(), agent=agent)["items"]
    findings = list_findings(played, time.time_ns(), agent=agent)["items"]

    assert len(runs) == expected["runs"]
    for run in runs:
        assert {field: run[field] for field in wanted} == wanted  # type: ignore[literal-required]
        assert run["dialect"] == expected["dialect"]
    assert [finding["rule"] for finding in findings] == expected["findings"] * len(runs)


def test_no_content_is_stored(played: Store) -> None:
    """Nothing of the prompts, arguments and results in the scenarios is found in the files of the store."""
    played.checkpoint()
    stored = b"".join(file.read_bytes() for file in played.path.parent.rglob("*") if file.is_file())

    for secret in (
        b"Summarise the termination clause",
        b"blue rain jacket",
        b"INV-1077",
        b"heat pump subsid",
        b"TP935",
    ):
        assert secret not in stored
