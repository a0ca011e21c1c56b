"""Prices whole frames of calls: the book is asked once for each distinct kind of call, then columns are multiplied.

Money is exact: each part of a cost is rounded half to even to 10^-12 USD, and a total is the sum of its parts, so
every grouping adds up to the last digit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import numpy as np
import numpy.typing as npt
import polars as pl

from analytics.pricing.book import PriceBook, Question
from analytics.pricing.entries import PARTS, WIDER
from collector.semconv import TOKENS

MAX_COUNT = 10**9
"""Tokens of a call, or bytes of a payload, beyond which a count is absurd. Up to here a cost stays within 64 bits,
for no price is above `entries.MAX_USD`."""

_UNCACHED = {"cache_read": "input", "cache_read_audio": "input_audio"}
_EPOCH = date(1970, 1, 1)
_DAY_NS = 86_400 * 10**9
_FRACTION = 10**12  # a rate is kept to 10^-12 of 10^-12 USD per token: 18 decimals of USD per million

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Rates:
    """A price of one unit in each row: whole 10^-12 USD, and the fraction in 10^-24 USD."""

    whole: Ints
    fraction: Ints


def price_calls(calls: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """The model calls with what they cost.

    Columns read: text `provider`, `model`, `request_model`, `tenant`, `service_tier`; integers `start_ns` and
    TOKENS (inclusive totals and their parts), null where not reported; and, if the frame has it, boolean
    `cache_hit`: a cache answered the whole call, so it was not billed.

    Columns added:
    - `pricing`: `priced`; `unpriced`: usage known, no price; `unknown`: no usage, or an absurd one (MAX_COUNT);
    - `cost_pusd` in 10^-12 USD and its `<part>_pusd` for each of PARTS: null unless priced;
    - `avoided_pusd`: what the call would have cost, had no cache answered it or been read, less its cost;
    - `usage_conflict`: the counts contradict each other. Parts beyond their total are cut to it, a missing total
      is the sum of its parts, a negative count is 0;
    - `price_version`: the version of the book that was asked.
    """
    counts, known, conflict = _counts(calls)
    rates, priced, row = _rates(calls, counts["total"], book)
    parts = {part: _amount(counts[part], rates[part], row) for part in PARTS}
    cost = _total(parts.values())
    avoided = _total(_amount(counts[part], rates[plain], row) - parts[part] for part, plain in _UNCACHED.items())
    if "cache_hit" in calls.columns:
        billed = ~calls["cache_hit"].fill_null(False).to_numpy()
        avoided += cost * ~billed
        cost = cost * billed
        parts = {part: amount * billed for part, amount in parts.items()}
    amounts = {"cost_pusd": cost, "avoided_pusd": avoided, **{f"{part}_pusd": parts[part] for part in PARTS}}
    pricing = pl.when(pl.lit(~known)).then(pl.lit("unknown")).when(pl.lit(priced[row])).then(pl.lit("priced"))
    return calls.with_columns(
        pricing.otherwise(pl.lit("unpriced")).alias("pricing"),
        *(pl.Series(name, amount) for name, amount in amounts.items()),
        pl.Series("usage_conflict", conflict),
        pl.lit(book.version).alias("price_version"),
    ).with_columns(pl.when(pl.col("pricing") == "priced").then(pl.col(*amounts)))


def price_tools(calls: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """The tool calls with what the tools themselves cost.

    Columns read: text `tool_server`, `tool`, `tenant`; integers `start_ns`, `args_bytes`, `result_bytes` (null: 0).
    A memory access is the tool `memory.read` or `memory.write` of the server that is its store. Columns added:
    `pricing` (`priced`, `none`), `cost_pusd` in 10^-12 USD (null without a price), `price_version`.
    """
    questions, row = _questions(calls, ("tool_server", "tool", "tenant"), book)
    usd = [book.tool_usd(at, *names) for names, at in questions]
    ones = pl.Series("call", np.ones(len(calls), np.int64))
    counts = calls.select(ones, pl.col("args_bytes", "result_bytes").cast(pl.Int64).fill_null(0).clip(0, MAX_COUNT))
    cost = _total(
        _amount(counts[unit].to_numpy(), _scaled([price.get(unit, Decimal(0)) * per for price in usd]), row)
        for unit, per in (("call", 10**6), ("args_bytes", 1), ("result_bytes", 1))
    )
    priced = pl.lit(np.array([bool(price) for price in usd], bool)[row])
    return calls.with_columns(
        pl.when(priced).then(pl.lit("priced")).otherwise(pl.lit("none")).alias("pricing"),
        pl.Series("cost_pusd", cost),
        pl.lit(book.version).alias("price_version"),
    ).with_columns(pl.when(pl.col("pricing") == "priced").then("cost_pusd"))


def _counts(calls: pl.DataFrame) -> tuple[dict[str, Ints], Bools, Bools]:
    """How many units each of PARTS has, and `total` input tokens; which calls have a usage; which contradict it.

    The parts are disjoint. Where cached and audio tokens must overlap, they do as little as possible, for
    emitters do not tell how much audio was cached.
    """
    stated = calls.select(pl.col(name).cast(pl.Int64) for name in TOKENS)
    raw = {name: stated[name].fill_null(0).to_numpy() for name in TOKENS}
    said = {name: stated[name].is_not_null().to_numpy() for name in TOKENS}
    n = {name: np.clip(count, 0, MAX_COUNT) for name, count in raw.items()}

    read, audio = n["cache_read_tokens"], n["input_audio_tokens"]
    write = np.where(said["cache_write_tokens"], n["cache_write_tokens"], n["cache_write_1h_tokens"])
    total = np.where(said["input_tokens"], n["input_tokens"], np.clip(np.maximum(read + write, audio), 0, MAX_COUNT))
    read = np.minimum(read, total)
    write = np.minimum(write, total - read)
    write_1h = np.minimum(n["cache_write_1h_tokens"], write)
    audio = np.minimum(audio, total - write)
    read_audio = np.maximum(read + write + audio - total, 0)

    reasoning, spoken = n["reasoning_tokens"], n["output_audio_tokens"]
    output = np.where(said["output_tokens"], n["output_tokens"], np.clip(reasoning + spoken, 0, MAX_COUNT))
    reasoning = np.minimum(reasoning, output)
    spoken = np.minimum(spoken, output - reasoning)

    parts = {
        "input": total - read - write - audio + read_audio,
        "cache_read": read - read_audio,
        "cache_write_5m": write - write_1h,
        "cache_write_1h": write_1h,
        "input_audio": audio - read_audio,
        "cache_read_audio": read_audio,
        "output": output - reasoning - spoken,
        "reasoning": reasoning,
        "output_audio": spoken,
        "request": np.ones(len(calls), np.int64),
        "total": total,
    }
    used = dict(zip(TOKENS, (total, output, read, write, write_1h, reasoning, audio, spoken), strict=True))
    conflict = np.logical_or.reduce([used[name] != raw[name] for name in TOKENS])
    absurd = np.logical_or.reduce([count > MAX_COUNT for count in raw.values()])
    return parts, (said["input_tokens"] | said["output_tokens"]) & ~absurd, conflict


def _rates(calls: pl.DataFrame, total: Ints, book: PriceBook) -> tuple[dict[str, _Rates], Bools, Ints]:
    """Rates of each of PARTS, one row a distinct price and context length; whether a row has a price; each call's
    row."""
    questions, kind = _questions(calls, ("provider", "model", "request_model", "tenant", "service_tier"), book)
    tiers = [book.tiers(Question(at, *names)) or ((-1, {}),) for names, at in questions]
    first = np.cumsum([0, *map(len, tiers)], dtype=np.int64)[:-1]
    row = first[kind]
    for depth in range(1, max(map(len, tiers), default=1)):
        above = [t[depth][0] if depth < len(t) else MAX_COUNT for t in tiers]
        row += total > np.array(above, np.int64)[kind]
    prices = [usd for t in tiers for _, usd in t]
    rates = {part: _scaled([_price(usd, part) for usd in prices]) for part in PARTS}
    return rates, np.array([bool(usd) for usd in prices], bool), row


def _questions(
    calls: pl.DataFrame, names: Sequence[str], book: PriceBook
) -> tuple[list[tuple[tuple[str | None, ...], datetime]], Ints]:
    """The distinct (names, moment) that decide prices, the moment being the first with the same prices, and each
    call's place in that list.
    """
    start_ns = calls["start_ns"].to_numpy()
    midnights = np.array([(day - _EPOCH).days * _DAY_NS for day in book.days], np.int64)
    times = np.array(
        [(((t.hour * 60 + t.minute) * 60 + t.second) * 10**6 + t.microsecond) * 1000 for t in book.times], np.int64
    )
    kinds = (
        calls.select(names)
        .with_columns(
            pl.when(pl.col("tenant").is_in(book.tenants)).then("tenant").alias("tenant"),
            pl.Series("day", np.searchsorted(midnights, start_ns, side="right")),
            pl.Series("time", np.searchsorted(times, start_ns % _DAY_NS, side="right")),
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("call"),
        )
        .group_by(*names, "day", "time")
        .agg("call")
    )
    place = np.empty(len(calls), np.int64)
    place[kinds["call"].explode().to_numpy()] = np.repeat(np.arange(len(kinds)), kinds["call"].list.len().to_numpy())
    return [(tuple(key), book.moment(day, time)) for *key, day, time in kinds.drop("call").iter_rows()], place


def _price(usd: Mapping[str, Decimal], part: str) -> Decimal:
    """USD per million of a part: its own price, else that of the next wider kind, else none is charged."""
    if part == "request":
        return usd.get("request", Decimal(0)) * 10**6
    return next((usd[kind] for kind in (part, *WIDER[part]) if kind in usd), Decimal(0))


def _scaled(usd_per_million: Sequence[Decimal]) -> _Rates:
    """Integer rates of one unit. Decimals beyond 18 are rounded: 10^9 units then move by 0.0005 x 10^-12 USD."""
    with localcontext(prec=60):
        rates = [int((usd.scaleb(18)).to_integral_value(ROUND_HALF_EVEN)) for usd in usd_per_million]
    return _Rates(
        np.array([rate // _FRACTION for rate in rates], np.int64),
        np.array([rate % _FRACTION for rate in rates], np.int64),
    )


def _amount(count: Ints, rates: _Rates, row: Ints) -> Ints:
    """count x rate in 10^-12 USD, rounded half to even, in 64 bits throughout: the fraction goes in two halves."""
    if not count.any():
        return np.zeros(len(count), np.int64)
    amount = count * rates.whole[row]
    if not rates.fraction.any():
        return amount
    high, low = np.divmod(rates.fraction[row], 10**6)
    low *= count
    middle = count * high + low // 10**6
    rest = (middle % 10**6) * 10**6 + low % 10**6
    amount += middle // 10**6
    half = _FRACTION // 2
    amount += (rest > half) | ((rest == half) & (amount % 2 == 1))
    return amount


def _total(amounts: Iterable[Ints]) -> Ints:
    total: Ints = np.sum(list(amounts), axis=0)
    return total
