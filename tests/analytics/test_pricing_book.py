"""Which price a call gets: names of providers and models, the user's entries, frozen books, tools."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from analytics.pricing import PriceBook, price_tools
from analytics.pricing.book import Question
from analytics.pricing.entries import Entry, ModelEntry, ToolEntry

AT = datetime(2026, 11, 1, tzinfo=UTC)
SEEDED = PriceBook.seeded()


def usd(book: PriceBook, provider: str | None, model: str, **more: object) -> Decimal | None:
    """USD per million input tokens of a call, None if it has no price."""
    words = {"request_model": None, "tenant": None, "service_tier": None, "at": AT, **more}
    tiers = book.tiers(Question(provider=provider, model=model, **words))  # type: ignore[arg-type]
    return tiers[0][1].get("input") if tiers else None


def entry(model: str, price: float, **more: object) -> ModelEntry:
    """An entry with one price for input and output."""
    amount = Decimal(str(price))
    return ModelEntry(model=model, usd={"input": amount, "output": amount}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "listed", "model"),
    [
        ("OpenAI", "openai", "gpt-4o"),
        ("openai.chat", "openai", "gpt-4o"),
        ("openai.responses", "openai", "gpt-4o"),
        ("langchain-openai", "openai", "gpt-4o"),
        ("azure.ai.openai", "azure", "gpt-4"),
        ("az.ai.openai", "azure", "gpt-4"),
        ("az.ai.inference", "azure", "gpt-4"),
        ("AzureOpenAI", "azure", "gpt-4"),
        ("aws.bedrock", "aws", "us.anthropic.claude-sonnet-4-20250514-v1:0"),
        ("amazon_bedrock", "aws", "us.anthropic.claude-sonnet-4-20250514-v1:0"),
        ("gcp.vertex_ai", "google", "gemini-2.5-pro"),
        ("gcp.gemini", "google", "gemini-2.5-pro"),
        ("gcp.gen_ai", "google", "gemini-2.5-pro"),
        ("gcp.vertex.agent", "google", "gemini-2.5-pro"),
        ("google_genai", "google", "gemini-2.5-pro"),
        ("google.generative-ai", "google", "gemini-2.5-pro"),
        ("VertexAI", "google", "claude-sonnet-4-5@20250929"),
        ("x_ai", "x-ai", "grok-4"),
        ("xai.chat", "x-ai", "grok-4"),
        ("mistral_ai", "mistral", "mistral-large-latest"),
        ("MistralAI", "mistral", "mistral-large-latest"),
        ("moonshot_ai", "moonshotai", "kimi-k2-0711-preview"),
        ("Together_AI", "together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("anthropic.messages", "anthropic", "claude-sonnet-4-5"),
        ("groq.chat", "groq", "llama-3.3-70b-versatile"),
    ],
)
def test_emitters_names_mean_providers(written: str, listed: str, model: str) -> None:
    """What an emitter writes gets the price of the provider that is meant."""
    assert usd(SEEDED, written, model) == usd(SEEDED, listed, model) is not None


@pytest.mark.parametrize(
    "provider", ["local", "Ollama", "ollama.chat", "vLLM", "llama.cpp", "lm_studio", "ibm.watsonx.ai"]
)
@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5", "deepseek-chat"])
def test_another_vendors_price_is_never_borrowed(provider: str, model: str) -> None:
    """Self-hosted and unlisted providers are unpriced, however well known the model's name."""
    assert usd(SEEDED, provider, model) is None
    assert usd(SEEDED, None, f"ollama/{model}") is None


@pytest.mark.parametrize(
    ("provider", "model", "like"),
    [
        (None, "gpt-4o", "openai"),
        ("langchain", "gpt-4o", "openai"),
        ("openai-compatible.chat", "gpt-4o", "openai"),
        (None, "openai/gpt-4o", "openai"),
        (None, "openai:gpt-4o", "openai"),
        ("litellm", "azure/gpt-4o", "azure"),
        ("openai", "openai/gpt-4o", "openai"),
    ],
)
def test_without_a_provider_the_model_decides(provider: str | None, model: str, like: str) -> None:
    """A name that says nothing leaves it to the model, or to the provider that the model's prefix states."""
    assert usd(SEEDED, provider, model) == usd(SEEDED, like, "gpt-4o") is not None


def test_a_model_name_of_one_providers_form_is_that_providers() -> None:
    """Frameworks that name themselves as provider still get the price of a Bedrock model id."""
    model = "us.anthropic.claude-sonnet-4-20250514-v1:0"
    assert usd(SEEDED, "strands-agents", model) == usd(SEEDED, "aws.bedrock", model) is not None


def test_a_known_provider_without_the_model_is_unpriced() -> None:
    """A provider that the list knows never gets another one's price."""
    assert usd(SEEDED, "groq", "gpt-4o") is None
    assert usd(SEEDED, "openai", "deepseek-chat") is None
    assert usd(SEEDED, "openai_compatible", "deepseek-chat") == usd(SEEDED, "deepseek", "deepseek-chat") is not None


def test_the_last_entry_that_matches_holds() -> None:
    """Entries beat the list, later ones beat earlier ones, and globs ignore case."""
    book = PriceBook.seeded([entry("GPT-4o*", 1), entry("gpt-4o", 2), entry("gpt-4o-mini", 3)])
    assert [usd(book, "openai", m) for m in ("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-mini")] == [2, 1, 3]
    assert usd(book, "openai", "gpt-4.1") == usd(SEEDED, "openai", "gpt-4.1")


def test_entries_hold_for_their_tenant_days_and_context_only() -> None:
    """Both days belong to the validity; a service tier is compared whatever its case."""
    days = {"valid_from": date(2026, 3, 1), "valid_to": date(2026, 3, 31)}
    book = PriceBook.seeded([entry("gpt-4o", 1, tenant="acme", context="Batch", **days)])

    def on(book: PriceBook, month: int, day: int, tenant: str = "acme", tier: str | None = "BATCH ") -> Decimal | None:
        at = datetime(2026, month, day, tzinfo=UTC)
        return usd(book, "openai", "gpt-4o", tenant=tenant, service_tier=tier, at=at)

    assert [on(book, 3, 1), on(book, 3, 31)] == [1, 1]
    for elsewhere in ((2, 28), (4, 1), (3, 2, "other"), (3, 2, "acme", None)):
        assert on(book, *elsewhere) == on(SEEDED, *elsewhere) != 1
    assert {date(2026, 3, 1), date(2026, 4, 1)} <= set(book.days)
    assert book.tenants == {"acme"}


def test_an_entry_names_its_provider_as_emitters_do() -> None:
    """`azure.ai.openai` in a price file is Azure; an entry without a provider also prices self-hosted models."""
    book = PriceBook.seeded([entry("*", 9, provider="azure.ai.openai"), entry("llama*", 0)])
    assert usd(book, "AzureOpenAI", "gpt-4o") == 9
    assert usd(book, "openai", "gpt-4o") == usd(SEEDED, "openai", "gpt-4o")
    assert usd(book, "ollama", "llama3") == 0
    assert usd(PriceBook.seeded([entry("*", 7, provider="my gateway")]), "my_gateway", "gpt-4o") == 7


def test_entries_for_long_calls_leave_short_ones_to_the_list() -> None:
    """An entry above a number of input tokens makes a context-length tier over the list price."""
    book = PriceBook.seeded([entry("gpt-4o", 50, above_input_tokens=1_000)])
    tiers = book.tiers(Question(AT, "openai", "gpt-4o", None, None, None))
    assert tiers is not None
    assert [(above, prices["input"]) for above, prices in tiers] == [(-1, Decimal("2.5")), (1_000, 50)]


def test_a_version_changes_with_the_prices_and_only_with_them() -> None:
    """The digest covers what entries say, not the file they came from; no entries, no digest."""
    one = PriceBook.seeded([entry("a", 1)])
    assert SEEDED.version.startswith("genai-prices ") and "+" not in SEEDED.version
    assert one.version.startswith(f"{SEEDED.version}+")
    assert PriceBook.seeded([entry("a", 1, source="elsewhere.toml")]).version == one.version
    assert len({PriceBook.seeded(e).version for e in ([entry("a", 1)], [entry("a", 2)], [entry("b", 1)], [])}) == 4


def test_a_frozen_book_knows_its_file_only(tmp_path: Path) -> None:
    """Models outside the file are unpriced; a provider that the file does not know is found by the model."""
    path = tmp_path / "frozen.toml"
    path.write_text(
        'version = "demo 2026"\n[[model]]\nprovider = "openai"\nmodel = "gpt-4o"\n'
        "usd_per_million_tokens = { input = 4, output = 8 }\n"
    )
    book = PriceBook.frozen(path)
    assert book.version.startswith("demo 2026+")
    assert [usd(book, p, "gpt-4o") for p in ("openai", "OpenAI", "openai.chat", None, "langchain")] == [4] * 5
    assert [usd(book, p, "gpt-4o") for p in ("azure.ai.openai", "ollama")] == [None, None]
    assert usd(book, "openai", "gpt-4.1") is None


def test_rows_list_every_price_with_its_validity() -> None:
    """The page's table: list rows first, entries last, exact texts, last days from the next start, tiers in words."""
    rows = PriceBook.seeded([entry("x", 1.5, tenant="acme"), ToolEntry(tool="t", usd={"call": Decimal("0.01")})]).rows
    assert rows.tail(3).select("kind", "model", "unit", "usd", "per", "tenant").rows() == [
        ("model", "x", "input", "1.5", 1_000_000, "acme"),
        ("model", "x", "output", "1.5", 1_000_000, "acme"),
        ("tool", "t", "call", "0.01", 1, None),
    ]
    gemini = rows.filter(provider="google", model="gemini-2.5-pro", unit="input").filter(pl.col("valid_to").is_null())
    assert {"above 200000 input tokens", None} <= set(gemini["context"].to_list())
    assert rows.filter(pl.col("valid_from") > pl.col("valid_to")).is_empty()
    assert rows.filter(pl.col("context").str.contains("UTC"))["provider"].unique().to_list() == ["deepseek"]


def test_tools_cost_by_call_and_by_size() -> None:
    """Calls and bytes are priced, parts rounded half to even; a tool without an entry has no cost, not $0."""
    entries: list[Entry] = [
        ToolEntry(tool="search", usd={"call": Decimal("0.01")}, server="web*"),
        ToolEntry(tool="search", usd={"call": Decimal("0.002")}, server="web*", tenant="acme"),
        ToolEntry(tool="load", usd={"result_bytes": Decimal("0.0000005"), "args_bytes": Decimal(1)}),
        ToolEntry(tool="memory.*", server="vectors", usd={"call": Decimal(0)}, valid_to=date(2026, 11, 1)),
    ]
    ns = int(AT.timestamp()) * 10**9
    rows = [
        ("web-1", "search", ns, "other", None, 10),
        ("web-1", "search", ns, "acme", None, 10),
        (None, "search", ns, "acme", None, 10),
        (None, "load", ns, None, 3, 5),
        ("vectors", "memory.read", ns + 86_400 * 10**9 - 1, None, None, None),
        ("vectors", "memory.read", ns + 86_400 * 10**9, None, None, None),
    ]
    schema = {
        "tool_server": pl.String,
        "tool": pl.String,
        "start_ns": pl.Int64,
        "tenant": pl.String,
        "args_bytes": pl.Int32,
        "result_bytes": pl.Int32,
    }
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    priced = price_tools(frame, PriceBook("test", entries, None))
    assert priced["cost_pusd"].to_list() == [10**10, 2 * 10**9, None, 3 * 10**6 + 2, 0, None]
    assert priced["pricing"].to_list() == ["priced", "priced", "none", "priced", "priced", "none"]
    assert price_tools(frame.clear(), SEEDED).schema == priced.schema
