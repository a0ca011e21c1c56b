"""Calls priced per second, against genai-prices' own calc_price one call at a time in the same run.

python bench/pricing.py [CALLS]
"""

import sys
import time
from datetime import UTC, datetime

import numpy as np
import polars as pl
from genai_prices import Usage, calc_price

from analytics.pricing.book import PriceBook
from analytics.pricing.charge import price_calls

MODELS = {
    "openai": (
        "gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-5", "gpt-5-mini", "gpt-5-nano",
        "gpt-5.1", "gpt-5.2", "o1", "o3", "o3-mini", "o4-mini", "text-embedding-3-small",
    ),
    "anthropic": (
        "claude-3-5-haiku-20241022", "claude-3-7-sonnet-20250219", "claude-haiku-4-5", "claude-opus-4-1",
        "claude-opus-4-5", "claude-sonnet-4-20250514", "claude-sonnet-4-5-20250929",
    ),
    "gcp.vertex_ai": ("gemini-2.0-flash", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro"),
    "azure.ai.openai": ("gpt-4o", "gpt-4.1", "gpt-5"),
    "aws.bedrock": ("anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.nova-pro-v1:0"),
    "groq": ("llama-3.3-70b-versatile", "openai/gpt-oss-120b"),
    "mistral_ai": ("mistral-large-latest", "codestral-latest"),
    "deepseek": ("deepseek-chat", "deepseek-reasoner"),
    "x_ai": ("grok-4", "grok-3-mini"),
    "cohere": ("command-r-plus",),
    "local": ("llama-3.1-8b",),
}  # fmt: skip


def calls(count: int, seed: int = 1) -> pl.DataFrame:
    """Random calls of a month over MODELS, usages valid, a third of them in a service tier."""
    rng = np.random.default_rng(seed)
    names = [(provider, model) for provider, models in MODELS.items() for model in models]
    kind = rng.integers(0, len(names), count)
    total = rng.integers(100, 300_000, count)
    output = rng.integers(1, 8_000, count)
    read = (total * rng.random(count) * 0.8).astype(np.int64)
    write = ((total - read) * rng.random(count) * 0.5).astype(np.int64)
    columns = {
        "input_tokens": total,
        "output_tokens": output,
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "cache_write_1h_tokens": write // 3,
        "reasoning_tokens": output // 2,
        "input_audio_tokens": pl.Series([None], dtype=pl.Int64).new_from_index(0, count),
        "output_audio_tokens": pl.Series([None], dtype=pl.Int64).new_from_index(0, count),
    }
    tiers = pl.Series(["batch", "flex", None, None, None, None])
    return pl.DataFrame(
        {
            "provider": pl.Series([name for name, _ in names])[kind],
            "model": pl.Series([name for _, name in names])[kind],
            "request_model": pl.Series([name for _, name in names])[kind],
            "tenant": pl.Series([f"tenant-{i}" for i in range(50)])[rng.integers(0, 50, count)],
            "service_tier": tiers[rng.integers(0, len(tiers), count)],
            "start_ns": 1_761_955_200 * 10**9 + rng.integers(0, 30 * 86_400 * 10**9, count),
            **columns,
        }
    )


def main() -> None:
    """Prices the same frame three times; the first run also asks the book for every kind of call."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    frame = calls(count)
    start = time.perf_counter()
    book = PriceBook.seeded()
    print(f"price book ready after {time.perf_counter() - start:.2f} s")
    for run in ("first", "second", "third"):
        start = time.perf_counter()
        priced = price_calls(frame, book)
        seconds = time.perf_counter() - start
        print(f"{run} run: {count} calls in {seconds:.3f} s = {count / seconds:,.0f} calls/s")
    print(priced.group_by("pricing").len().sort("pricing"))

    usage = Usage(input_tokens=10_000, output_tokens=500, cache_read_tokens=4_000)
    start = time.perf_counter()
    for _ in range(2_000):
        calc_price(usage, "gpt-5", provider_id="openai", genai_request_timestamp=datetime(2025, 11, 1, tzinfo=UTC))
    print(f"calc_price, one call at a time: {2_000 / (time.perf_counter() - start):,.0f} calls/s")


if __name__ == "__main__":
    main()
