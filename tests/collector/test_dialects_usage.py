"""The canonical token record, for every basis that an emitter can count on."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.dialects.engine import normalise
from collector.dialects.tables import FIELD_TYPES
from collector.dialects.usage import BASES, EXCLUSIVE, INCLUSIVE, MAX_TOKENS, UNKNOWN, canonical
from collector.otlp.columns import decode
from collector.semconv import Flag
from tests.collector.spans import request

READ = [name for name, kind in FIELD_TYPES.items() if kind == "int"]
PARTS = ("cache_read_tokens", "cache_write_tokens")


def one(
    reported: dict[str, int], basis: int = INCLUSIVE, guess: int = INCLUSIVE, output: int = INCLUSIVE
) -> dict[str, Any]:
    """The canonical record of one span; only what is known. `flags` is always there."""
    read = {n: (np.array([reported.get(n, 0)]), np.array([n in reported])) for n in READ}
    codes = (np.array([c], np.int8) for c in (basis, output, guess))
    usage = canonical(read, *codes)
    return {n: int(v[0]) for n, (v, known) in usage.tokens.items() if known[0]} | {"flags": int(usage.flags[0])}


@pytest.mark.parametrize(
    ("reported", "basis", "guess", "input_tokens", "flags"),
    [
        ({"input_tokens": 100, "cache_read_tokens": 60}, INCLUSIVE, INCLUSIVE, 100, 0),
        ({"input_tokens": 100, "cache_read_tokens": 60}, EXCLUSIVE, INCLUSIVE, 160, 0),
        ({"input_tokens": 100, "cache_read_tokens": 60}, UNKNOWN, INCLUSIVE, 100, Flag.USAGE_ASSUMED),
        ({"input_tokens": 100, "cache_read_tokens": 60}, UNKNOWN, EXCLUSIVE, 160, Flag.USAGE_ASSUMED),
        ({"input_tokens": 100}, UNKNOWN, EXCLUSIVE, 100, 0),
        ({"input_tokens": 2, "cache_read_tokens": 84_562}, INCLUSIVE, INCLUSIVE, 84_564, Flag.USAGE_ASSUMED),
        ({"input_tokens": 9, "output_tokens": 1, "total_tokens": 10, "cache_read_tokens": 5}, UNKNOWN, EXCLUSIVE, 9, 0),
        (
            {"input_tokens": 9, "output_tokens": 1, "total_tokens": 15, "cache_read_tokens": 5},
            UNKNOWN,
            INCLUSIVE,
            14,
            0,
        ),
        ({"input_tokens": 9, "uncached_input_tokens": 4, "cache_read_tokens": 5}, UNKNOWN, EXCLUSIVE, 9, 0),
        ({"input_tokens": 4, "uncached_input_tokens": 4, "cache_read_tokens": 3}, UNKNOWN, INCLUSIVE, 7, 0),
        ({"uncached_input_tokens": 4, "cache_read_tokens": 3}, UNKNOWN, INCLUSIVE, 7, 0),
        ({"cache_write_5m_tokens": 3, "cache_write_1h_tokens": 4, "input_tokens": 1}, EXCLUSIVE, INCLUSIVE, 8, 0),
    ],
)
def test_the_basis_decides_what_the_input_holds(
    reported: dict[str, int], basis: int, guess: int, input_tokens: int, flags: int
) -> None:
    """Exclusive counts are added up; an unknown basis is told by the total, else assumed and flagged."""
    found = one(reported, basis, guess)
    assert (found["input_tokens"], found["flags"]) == (input_tokens, flags)


@pytest.mark.parametrize(
    ("reported", "basis", "output_tokens"),
    [
        ({"output_tokens": 10, "reasoning_tokens": 4}, INCLUSIVE, 10),
        ({"output_tokens": 10, "reasoning_tokens": 4}, EXCLUSIVE, 14),
        ({"output_tokens": 3, "reasoning_tokens": 4}, INCLUSIVE, 7),
        ({"input_tokens": 5, "output_tokens": 10, "reasoning_tokens": 4, "total_tokens": 19}, INCLUSIVE, 14),
        ({"input_tokens": 5, "output_tokens": 10, "reasoning_tokens": 4, "total_tokens": 15}, EXCLUSIVE, 10),
        ({"visible_output_tokens": 10, "reasoning_tokens": 4}, INCLUSIVE, 14),
    ],
)
def test_reasoning_is_part_of_the_output(reported: dict[str, int], basis: int, output_tokens: int) -> None:
    """Reasoning counted beside the output is added to it, also when only the total gives that away."""
    assert one(reported, output=basis)["output_tokens"] == output_tokens


@pytest.mark.parametrize(("told", "output_tokens", "reasoning"), [({}, 30, 20), ({"reasoning_tokens": 5}, 15, 5)])
def test_the_rest_of_a_total_is_reasoning_that_nothing_tells(
    told: dict[str, int], output_tokens: int, reasoning: int
) -> None:
    """Only where the output leaves reasoning out, and no count of it is there."""
    usage = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 130} | told
    found = one(usage, output=EXCLUSIVE)
    assert (found["output_tokens"], found["reasoning_tokens"]) == (output_tokens, reasoning)
    assert "reasoning_tokens" not in one({k: v for k, v in usage.items() if k != "reasoning_tokens"})


@pytest.mark.parametrize("reported", [{}, {"input_tokens": 0, "output_tokens": 0}, {"cache_read_tokens": 0}])
def test_no_usage_is_unknown_and_not_zero(reported: dict[str, int]) -> None:
    """Nothing reported, or zeros throughout, leaves every column null."""
    assert one(reported) == {"flags": 0}


def test_an_input_of_nothing_is_unknown() -> None:
    """A stream whose input was lost says 0 (LangChain with Anthropic): that is no total to hold against another."""
    assert one({"input_tokens": 0, "output_tokens": 5}) == {"output_tokens": 5, "flags": 0}


@given(st.dictionaries(st.sampled_from(READ), st.integers(0, 10**6)), st.sampled_from(range(len(BASES))), st.booleans())
def test_totals_always_hold_their_parts(reported: dict[str, int], basis: int, anthropic: bool) -> None:
    """Whatever was reported on whatever basis, cached tokens never exceed the input, nor reasoning the output."""
    found = one(reported, basis, EXCLUSIVE if anthropic else INCLUSIVE)
    parts = sum(found.get(p, 0) for p in PARTS)
    if parts:
        assert found["input_tokens"] >= parts
    if "output_tokens" in found:
        assert found["output_tokens"] >= found.get("reasoning_tokens", 0)
    assert not found["flags"] & Flag.USAGE_ABSURD


@pytest.mark.parametrize(
    ("said", "hit"),
    [
        ({"gen_ai.response.cache_hit": True}, True),
        ({"llm.cache.hit": "HIT"}, True),
        ({"gen_ai.cache.hit": 1}, True),
        ({"gen_ai.cache.hit": False}, False),
        ({"gen_ai.cache.hit": "miss"}, False),
        ({"gen_ai.cache.hit": True, "gen_ai.usage.cache_read.input_tokens": 3}, False),
        ({"gen_ai.cache.hit": True, "gen_ai.usage.cache_read.input_tokens": 0}, True),
        ({"cache_hit": True}, False),
        ({"gen_ai.cache.hit": True, "gen_ai.operation.name": "execute_tool"}, False),
        ({}, False),
    ],
)
def test_a_cache_of_responses_is_told_from_one_of_prompts(said: dict[str, object], hit: bool) -> None:
    """A model call says that a cache answered it; one that read cached tokens was billed, whatever it says."""
    usage = {"gen_ai.provider.name": "openai", "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 2}
    batch = normalise(decode([request({"gen_ai.operation.name": "chat"} | usage | said)]))
    assert bool(batch.flags[0] & Flag.CACHE_HIT) == hit


@pytest.mark.parametrize(
    ("scope", "span"),
    [
        ("", {"name": "llm.call", "model": "gpt-4o", "prompt_tokens": 9, "cache_hit": True}),
        ("litellm", {"metadata.cache_hit": "True"}),
        ("litellm", {"hidden_params": '{"cache_hit": true}'}),
    ],
)
def test_gateways_say_it_in_their_own_words(scope: str, span: dict[str, object]) -> None:
    """The own dialect's attribute, and LiteLLM's metadata, also inside its JSON."""
    call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 9}
    batch = normalise(decode([request(call | span, scope=scope)]))
    assert batch.flags[0] & Flag.CACHE_HIT


@given(st.sampled_from(READ), st.one_of(st.integers(max_value=-1), st.integers(min_value=MAX_TOKENS + 1)))
def test_absurd_counts_are_flagged_and_left(name: str, value: int) -> None:
    """A negative or impossible count never adds to anything."""
    value = max(min(value, 2**62), -(2**62))
    found = one({"input_tokens": 5, "output_tokens": 5} | {name: value}, EXCLUSIVE)
    assert found["flags"] & Flag.USAGE_ABSURD
    assert found["input_tokens"] in (5, value)
