"""Price files: what they may say, what they say wrong, and the shipped example."""

import re
from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.pricing import PriceBook, PriceFileError, load_overrides
from analytics.pricing.entries import ModelEntry, ToolEntry, entry_for, matches

EXAMPLE = resources.files("analytics").joinpath("data/prices.example.toml").read_text(encoding="utf-8")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the price file of a test lies."""
    return tmp_path / "prices.toml"


def test_entries_are_read_exactly(path: Path) -> None:
    """Every key arrives, numbers as exact decimals, in file order."""
    path.write_text(
        """
        [[model]]
        provider = "openai"
        model = "gpt-5*"
        tenant = "acme"
        context = "batch"
        above_input_tokens = 200_000
        valid_from = 2026-01-01
        valid_to = 2026-12-31
        usd_per_million_tokens = { input = 1.10, cache_read = 0.1, output = 9 }
        usd_per_request = 0.005

        [[tool]]
        server = "search"
        tool = "web_*"
        usd_per_call = 0.01
        usd_per_million_bytes = { result = 0.3 }
        """
    )
    model = {"input": Decimal("1.10"), "cache_read": Decimal("0.1"), "output": Decimal(9), "request": Decimal("0.005")}
    assert load_overrides(path) == [
        ModelEntry(
            model="gpt-5*",
            usd=model,
            provider="openai",
            tenant="acme",
            context="batch",
            above_input_tokens=200_000,
            valid_from=date(2026, 1, 1),
            valid_to=date(2026, 12, 31),
        ),
        ToolEntry(tool="web_*", server="search", usd={"call": Decimal("0.01"), "result_bytes": Decimal("0.3")}),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[model]]\nprovider = 'x'", "[[model]] entry 1: model is missing: name what it prices"),
        ("[[model]]\nmodel = 'x'", "[[model]] entry 1: has no price: add usd_per_million_tokens"),
        ("[[tool]]\ntool = 'x'", "[[tool]] entry 1: has no price: add usd_per_call"),
        ("[[model]]\nmodel = 3", "entry 1: model = 3: write a text in quotes"),
        ("[[model]]\nmodle = 'x'", "entry 1: modle: not a key: the keys are provider, model"),
        (
            "[[model]]\nmodel='x'\nusd_per_million_tokens={input=-1}",
            "usd_per_million_tokens = {'input': -1}: write a price",
        ),
        ("[[model]]\nmodel='x'\nusd_per_million_tokens={input=nan}", "write a price in USD from 0 to 2000"),
        ("[[model]]\nmodel='x'\nusd_per_million_tokens={input=true}", "write a price in USD from 0 to 2000"),
        ("[[model]]\nmodel='x'\nusd_per_million_tokens={input='1'}", "without quotes, such as 1.25"),
        ("[[model]]\nmodel='x'\nusd_per_million_tokens={input=2001}", "write a price in USD from 0 to 2000"),
        ("[[model]]\nmodel='x'\nusd_per_million_tokens={prompt=1}", "its keys are input, cache_read"),
        (
            "[[model]]\nmodel='x'\nusd_per_million_tokens={cache_read=1}",
            "cache_read without input: add the price of input",
        ),
        ("[[model]]\nmodel='x'\nusd_per_million_tokens={reasoning=1}", "reasoning without output: add"),
        ("[[model]]\nmodel='x'\nvalid_from='2026-01-01'", "valid_from = 2026-01-01: write a day without quotes"),
        ("[[model]]\nmodel='x'\nvalid_to=2026-01-01T00:00:00", "write a day without quotes, such as 2026-12-31"),
        (
            "[[model]]\nmodel='x'\nusd_per_request=1\n[[model]]\nmodel='x'\nvalid_from=2026-02-01\nvalid_to=2026-01-01",
            "[[model]] entry 2: valid_to = 2026-01-01: is before valid_from = 2026-02-01: exchange them",
        ),
        ("[[model]]\nmodel='x'\nabove_input_tokens=-1", "above_input_tokens = -1: write a number of tokens"),
        ("[model]\nmodel='x'", "model is not a list of entries: write [[model]] with two brackets"),
        ("model = [1]", "model is not a list of entries: write [[model]]"),
        ("[[models]]\nmodel='x'", "models: not known here: write [[model]] or [[tool]]"),
        ("[[model]\n", "not TOML"),
    ],
)
def test_an_error_names_file_entry_key_and_remedy(path: Path, text: str, said: str) -> None:
    """Whatever is wrong, the message leads to the place and says what to write instead."""
    path.write_text(text)
    with pytest.raises(PriceFileError, match=re.escape(said)) as raised:
        load_overrides(path)
    assert str(raised.value).startswith(str(path))


def test_a_missing_or_unreadable_file_says_so(path: Path) -> None:
    """No file and a file that is not text are errors of their own, not crashes."""
    with pytest.raises(PriceFileError, match="cannot be read"):
        load_overrides(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PriceFileError, match="not TOML"):
        load_overrides(path)


def test_the_example_changes_nothing_until_a_line_is_switched_on(path: Path) -> None:
    """As `config init` writes it the example holds no entry; with its signs removed all of its entries are valid."""
    path.write_text(EXAMPLE)
    assert load_overrides(path) == []
    path.write_text(re.sub("^#(?=[a-z[])", "", EXAMPLE, flags=re.MULTILINE))
    assert len(load_overrides(path)) == EXAMPLE.count("#[[") == 8


def test_a_frozen_book_needs_a_version(path: Path) -> None:
    """A frozen book names itself; without a version it is refused."""
    path.write_text("[[model]]\nmodel='x'\nusd_per_request=1")
    with pytest.raises(PriceFileError, match="version is missing: begin the file with"):
        PriceBook.frozen(path)


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).map(str.strip).filter(bool)


@given(provider=st.none() | NAMES, model=NAMES)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_entry_for_a_model_means_that_model(tmp_path: Path, provider: str | None, model: str) -> None:
    """Whatever its name holds: quotes, globs, controls, marks that reorder text. As long as it has no amounts it is
    refused."""
    path = tmp_path / "prices.toml"
    text = entry_for(provider, model)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PriceFileError):
        load_overrides(path)
    path.write_text(text.replace("{ input = ..., output = ... }", "{ input = 1, output = 2 }"), encoding="utf-8")
    (entry,) = load_overrides(path)
    assert isinstance(entry, ModelEntry)
    assert entry.provider == provider
    assert matches(entry.model, model)
    assert not matches(entry.model, model + "x")
