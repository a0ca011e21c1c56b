"""Clues: what stays of spans for a mapping that improves later, and what never does."""

import json
from typing import Any

import pytest

from collector.dialects.clues import MOST
from collector.dialects.engine import normalise
from collector.dialects.message_parts import tool_parts
from collector.otlp.columns import decode
from collector.privacy import Hasher, protect
from tests.collector.spans import request


def kept(attributes: dict[str, Any], name: str = "step") -> dict[str, Any]:
    """What of a span's attributes is stored as they are."""
    batch = normalise(decode([request({"name": name} | attributes)]))
    guarded = protect(batch, tool_parts(batch), Hasher(b"k" * 32))
    text = guarded.columns["attributes"][0].as_py()
    return dict(json.loads(text)) if text else {}


def test_a_span_of_no_known_kind_keeps_its_usage_and_its_names() -> None:
    """Numbers that count or cost something, and the words that name model, provider, operation, tool and agent."""
    clues = {
        "acme.tokens.in": 120,
        "acme.usage.out": 0,
        "acme.cost_usd": 0.25,
        "acme.model": "acme/brain-7b:latest",
        "acme.provider.name": "acme",
        "acme.step": "think",
    }
    assert kept(clues | {"acme.region": "eu", "acme.retries": 3, "acme.flag": True}) == clues


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("acme.model", "tell me of the model"),
        ("acme.model", "m" * 81),
        ("acme.model", "someone@example.com"),
        ("acme.step", ""),
        ("acme.prompt", "think"),
        ("acme.tokens.in", "120"),
        ("acme.secret key.model", "x"),
        ("gen_ai.prompt.0.type", "text"),
        ("llm.input_messages.0.message.contents.0.message_content.type", "text"),
    ],
)
def test_content_is_no_clue(key: str, value: str) -> None:
    """Texts of several words, long or personal ones, texts of other keys, odd keys, and parts of messages go."""
    assert kept({key: value}) == {}


def test_a_span_of_a_known_kind_keeps_only_counts_that_no_table_reads() -> None:
    """What the tables read is in the columns already; a count of nothing tells nothing."""
    known = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "acme", "gen_ai.usage.input_tokens": 7}
    more = {"acme.cached_tokens": 5, "acme.other_tokens": 0, "acme.model": "m", "acme.cost": 0.5}
    assert kept(known | more) == {"acme.cached_tokens": 5}


def test_a_recognised_span_of_an_unknown_kind_keeps_what_should_have_told_it() -> None:
    """An operation that the table does not know stays, so that a better table can."""
    assert kept({"gen_ai.provider.name": "acme", "gen_ai.operation.name": "ponder"}) == {
        "gen_ai.provider.name": "acme",
        "gen_ai.operation.name": "ponder",
    }


def test_a_span_keeps_few_clues() -> None:
    """However many attributes look like usage."""
    assert len(kept({f"acme.tokens.{i}": i + 1 for i in range(MOST * 3)})) == MOST
