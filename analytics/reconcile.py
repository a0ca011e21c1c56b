"""Reconciliation: what a provider's export says against what was recorded, by day and model, with the likely reason.
Pure."""

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from analytics.pricing.providers import MEANT, canonical, plain
from analytics.twins import family
from analytics.usage_exports import COUNTS

AGREES_PUSD = 5 * 10**9
"""Half a cent: exports are rounded, differences below it are none."""

TOKENS = ("input", "cache_read", "cache_write", "output")
RECORDED = ("calls", "unpriced_calls", "unknown_calls", *TOKENS, "pusd")

Row = Mapping[str, Any]


def _short(row: Row) -> bool:
    """Whether fewer tokens were recorded than billed."""
    return any(row[f"billed_{name}"] is not None and row[name] < row[f"billed_{name}"] for name in ("input", "output"))


def _long(row: Row) -> bool:
    return any(row[f"billed_{name}"] is not None and row[name] > row[f"billed_{name}"] for name in ("input", "output"))


def _caches(row: Row) -> bool:
    return any(
        row[f"billed_{name}"] is not None and row[name] != row[f"billed_{name}"]
        for name in ("cache_read", "cache_write")
    )


def _costs(row: Row) -> bool:
    return row["billed_pusd"] is not None and abs(int(row["pusd"] or 0) - int(row["billed_pusd"])) > AGREES_PUSD


REASONS: tuple[tuple[str, Callable[[Row], bool], str], ...] = (
    (
        "agrees",
        lambda r: r["billed"] and not (_short(r) or _long(r) or _caches(r) or _costs(r)),
        "Billed and recorded agree.",
    ),
    (
        "missing_traces",
        lambda r: not r["calls"] and all(r[f"billed_{name}"] is None for name in TOKENS),
        "No call was recorded by this name: a charge beside tokens, such as searches, or a model that is not traced.",
    ),
    (
        "missing_traces",
        lambda r: not r["calls"],
        "No call was recorded: another key uses this model, or its runtime sends no spans.",
    ),
    (
        "not_billed",
        lambda r: not r["billed"],
        "The export has no such row: another account or project paid, or the export ends before it.",
    ),
    (
        "unknown_usage",
        lambda r: bool(r["unknown_calls"]) and _short(r),
        "Some calls told no usage: let their instrumentation record it.",
    ),
    (
        "other_keys",
        lambda r: _short(r) and r["billed_keys"] > 1,
        "More was billed than recorded, over several keys or projects: one of them is likely not traced.",
    ),
    ("missing_traces", _short, "More was billed than recorded: some calls are not traced, or sampled away."),
    (
        "over_recorded",
        _long,
        "More was recorded than billed: another account paid for a part, or the export is not complete yet.",
    ),
    (
        "cache",
        _caches,
        "Totals agree, cached tokens do not: the instrumentation does not tell cache reads or writes as billed.",
    ),
    (
        "unpriced",
        lambda r: bool(r["unpriced_calls"]),
        "Some calls have no price: add one to prices.toml and reprice.",
    ),
    (
        "price",
        _costs,
        "The price differs: negotiated rates, a service tier that was not told, or charges beside tokens.",
    ),
)
"""Likely reasons: code, when it holds, and the sentence; the first that holds is given."""


def reconcile(billed: pl.DataFrame, recorded: pl.DataFrame, provider: str) -> pl.DataFrame:
    """A row a day and model: `day`, `model`; `billed` (whether the export has it), `billed_keys` (distinct keys),
    `billed_<count>` and `billed_pusd` (null where the export does not tell); RECORDED; `reason`, `sentence`.

    `billed`: rows of `usage_exports.SCHEMA`; `recorded`: those of the query `reconcile`, any provider. Models are
    matched by their full name, else by the name without vendor, date and version.
    """
    recorded = recorded.filter(_is_of(recorded, provider, billed))
    if billed["model"].is_null().all():
        recorded = recorded.with_columns(model=pl.lit(None, pl.String))
    shared = set(_named(billed)["name"]) & set(_named(recorded)["name"])
    told = (pl.when(pl.col(c).is_not_null().any()).then(pl.col(c).cast(pl.Int128).sum()) for c in (*COUNTS, "pusd"))
    sums = [total.alias(f"billed_{c}") for total, c in zip(told, (*COUNTS, "pusd"), strict=True)]
    theirs = _keyed(billed, shared).group_by("day", "match").agg(
        pl.first("model"), pl.col("key").n_unique().alias("billed_keys"), *sums
    )  # fmt: skip
    ours = _keyed(recorded, shared).group_by("day", "match").agg(
        pl.first("model").alias("our_model"), *(pl.col(c).cast(pl.Int128).sum() for c in RECORDED)
    )  # fmt: skip
    both = theirs.with_columns(billed=True).join(ours, on=["day", "match"], how="full", coalesce=True, nulls_equal=True)
    both = both.with_columns(
        pl.coalesce("model", "our_model").alias("model"),
        pl.col("billed").fill_null(False),
        pl.col("billed_keys").fill_null(0),
        *(pl.col(c).fill_null(0) for c in RECORDED),
    ).sort("day", "model", nulls_last=True)
    found = [next((code, text) for code, holds, text in REASONS if holds(row)) for row in both.iter_rows(named=True)]
    reasons = pl.DataFrame(found, schema={"reason": pl.String, "sentence": pl.String}, orient="row")
    columns = ["day", "model", "billed", "billed_keys", *(f"billed_{c}" for c in (*COUNTS, "pusd")), *RECORDED]
    return pl.concat([both.select(columns), reasons], how="horizontal")


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds `name`: the model as both sides may write it, for consoles write `Claude Sonnet 4.5`."""
    return rows.with_columns(name=pl.col("model").str.to_lowercase().str.replace_all(r"[ .]", "-"))


def _keyed(rows: pl.DataFrame, shared: set[str | None]) -> pl.DataFrame:
    """Adds `match`: the name where both sides have it, else its family."""
    rows = _named(rows)
    return rows.with_columns(
        match=pl.when(pl.col("name").is_in(list(shared - {None}))).then("name").otherwise(family("name"))
    )


def _is_of(recorded: pl.DataFrame, provider: str, billed: pl.DataFrame) -> pl.Series:
    """Which rows are the provider's: by its name, or, where the name says nothing, by a model that was billed."""
    ids = {plain(name): name for name in MEANT}
    meant = {name: canonical(name, ids) for name in recorded["provider"].drop_nulls().unique()}
    its_own = [name for name, (who, kind) in meant.items() if who == provider]
    unclear = [name for name, (who, kind) in meant.items() if kind == "unknown" and who != provider]
    families = _named(billed).select(family("name")).to_series().drop_nulls().unique()
    rows = _named(recorded)
    says_nothing = pl.col("provider").is_null() | pl.col("provider").is_in(unclear)
    mask = pl.col("provider").is_in(its_own) | (says_nothing & family("name").is_in(families.implode()))
    return rows.select(mask.fill_null(False)).to_series()
