"""The sample traces: what is listed is what is sent, and what spanledger makes of it."""

import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest

from sample_traces import play
from tests.conftest import ROOT

EXPECTED = play.expected()
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
