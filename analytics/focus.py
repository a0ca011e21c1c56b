"""Priced calls as FOCUS cost and usage rows: one row a kind of tokens. Pure.

The columns are those of FOCUS 1.2 that apply, with the provider columns of 1.3 and 1.4 beside them and our own behind
x_. Amounts are estimates from the price book, not invoices: x_CostBasis says so, and billed, effective, contracted and
list cost are the same number. An unpriced call has no row; `unpriced` gives its volume for a file beside.
https://focus.finops.org/focus-specification/v1-2/
"""

from urllib.parse import quote

import polars as pl

from analytics.exports import usd
from analytics.pricing.book import PriceBook
from analytics.pricing.charge import price_calls

KEYS = ("day", "provider", "model", "service_tier", "tenant", "agent", "environment", "run", "tool_server", "tool")
"""What tells rows apart, beside the meter and the price version. `run` is null unless rows by run are wanted."""

NAMED = ("provider", "model", "tenant", "tool_server", "tool")
"""Keys that stand in columns where FOCUS allows only ASCII."""

METERS = {
    "input": ("Input Tokens", "Input", "Uncached", ("input", "input_audio")),
    "cache_read": ("Cache Read Input Tokens", "Input", "Read", ("cache_read", "cache_read_audio")),
    "cache_write": ("Cache Write Input Tokens", "Input", "Write", ("cache_write_5m", "cache_write_1h")),
    "output": ("Output Tokens", "Output", None, ("output", "reasoning", "output_audio")),
    "request": ("Requests", None, None, ("request",)),
    "tool": ("Tool Calls", None, None, ()),
}
"""Meters: name, direction, cache action, and the parts of a call's cost that they sum."""

TOKENS_PER_UNIT = 1_000_000

PROVIDERS = {
    "openai": ("OpenAI", "OpenAI"), "anthropic": ("Anthropic", "Anthropic"), "google": ("Google", "Google Cloud"),
    "gcp.gemini": ("Google", "Google Cloud"), "gcp.vertex_ai": ("Google", "Google Cloud"),
    "aws.bedrock": ("Amazon Web Services", "Amazon Web Services"), "azure.ai.openai": ("Microsoft", "Microsoft Azure"),
    "azure.ai.inference": ("Microsoft", "Microsoft Azure"), "x_ai": ("xAI", "xAI"),
    "mistral_ai": ("Mistral AI", "Mistral AI"),
    "cohere": ("Cohere", "Cohere"), "deepseek": ("DeepSeek", "DeepSeek"), "groq": ("Groq", "Groq"),
}  # fmt: skip
"""Who sells a provider's API, and who runs it; any other provider stands for itself."""

_DAY_NS = 86_400 * 10**9
_MONEY = pl.Decimal(38, 12)


def metered(calls: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """Sums of the priced calls by KEYS, price version and meter: `quantity` (Int64) and `cost_pusd` (Int128).

    `calls` have the columns of the query `focus_calls`. The cost of a call is the stored one, to the last digit: where
    the book in force gives another, it only says how the stored one divides.
    """
    calls = calls.filter(pl.col("cost_pusd").is_not_null())
    model = _quantities(price_calls(calls.filter(pl.col("kind") == "llm.call").rename({"cost_pusd": "stored"}), book))
    tool = calls.filter(pl.col("kind") == "tool.call")
    kept = [*KEYS, "price_version"]
    parts = [
        model.select(*kept, meter=pl.lit(meter), quantity=f"{meter}_quantity", cost_pusd=f"{meter}_cost")
        for meter in METERS
        if meter != "tool"
    ]
    tool = tool.select(*kept, meter=pl.lit("tool"), quantity=pl.lit(1, pl.Int64), cost_pusd="cost_pusd")
    rows = pl.concat([*parts, tool], how="vertical_relaxed").with_columns(pl.col("cost_pusd").cast(pl.Int128))
    return summed(rows.filter((pl.col("quantity") != 0) | (pl.col("cost_pusd") != 0)))


def summed(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `metered` with equal keys become one, in the order of their keys."""
    kept = (*KEYS, "price_version", "meter")
    return rows.group_by(kept).agg(pl.col("quantity", "cost_pusd").sum()).sort(kept, nulls_last=True)


def unpriced(calls: pl.DataFrame) -> pl.DataFrame:
    """The volume of model calls without a cost, by KEYS and `pricing` (unpriced; unknown: no usage was told)."""
    without = calls.filter((pl.col("kind") == "llm.call") & pl.col("cost_pusd").is_null())
    tokens = (pl.col(name).fill_null(0) for name in ("input_tokens", "output_tokens"))
    return summed_unpriced(without.select(*KEYS, "pricing", pl.lit(1, pl.Int64).alias("calls"), *tokens))


def summed_unpriced(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `unpriced` with equal keys become one, in the order of their keys."""
    kept = (*KEYS, "pricing")
    sums = pl.col("calls", "input_tokens", "output_tokens").sum()
    return rows.group_by(kept).agg(sums).sort(kept, nulls_last=True)


def focus_rows(sums: pl.DataFrame) -> pl.DataFrame:
    """Sums of `metered` as FOCUS rows, columns in the order of the specification's names."""
    meter = {meter: spec[0] for meter, spec in METERS.items()}
    sums = sums.with_columns(_ascii(sums[name]).alias(f"{name}_id") for name in NAMED)
    tokens = ~pl.col("meter").is_in(["request", "tool"])
    sold = pl.col("provider_id").replace({name: seller for name, (seller, _) in PROVIDERS.items()})
    host = pl.col("provider_id").replace({name: host for name, (_, host) in PROVIDERS.items()})
    seller = pl.coalesce(pl.when(pl.col("meter") != "tool").then(sold), "tool_server_id", pl.lit("unknown"))
    what = pl.coalesce("model_id", "tool_id", pl.lit("unknown"))
    start = pl.col("day").cast(pl.Datetime("us"))
    month = pl.col("day").dt.truncate("1mo").cast(pl.Datetime("us"))
    sku = pl.concat_str(seller, what, pl.col("meter"), pl.col("service_tier").fill_null("standard"), separator="/")
    rows = sums.with_columns(
        money=usd(pl.col("cost_pusd")), unit_price=_unit_price(tokens), sku=sku, start=start, month=month
    )
    return rows.select(
        *(pl.col("money").alias(name) for name in ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")),
        BillingAccountId=pl.lit("spanledger"),
        BillingAccountName=pl.lit("spanledger estimates"),
        BillingAccountType=pl.lit("Ledger"),
        BillingCurrency=pl.lit("USD"),
        BillingPeriodStart=_time(pl.col("month")),
        BillingPeriodEnd=_time(pl.col("month").dt.offset_by("1mo")),
        ChargeCategory=pl.lit("Usage"),
        ChargeClass=pl.lit(None, pl.String),
        ChargeDescription=pl.concat_str(pl.col("meter").replace(meter), pl.lit(" of "), what),
        ChargeFrequency=pl.lit("Usage-Based"),
        ChargePeriodStart=_time(pl.col("start")),
        ChargePeriodEnd=_time(pl.col("start").dt.offset_by("1d")),
        CommitmentDiscountStatus=pl.lit(None, pl.String),
        ConsumedQuantity=pl.col("quantity").cast(_MONEY),
        ConsumedUnit=pl.when(tokens).then(pl.lit("Tokens")).otherwise(pl.lit("Requests")),
        ContractedUnitPrice="unit_price",
        HostProviderName=pl.coalesce(pl.when(pl.col("meter") != "tool").then(host), seller),
        InvoiceId=pl.lit(None, pl.String),
        InvoiceIssuerName=seller,
        ListUnitPrice="unit_price",
        PricingCategory=pl.lit("Standard"),
        PricingCurrency=pl.lit("USD"),
        PricingCurrencyContractedUnitPrice="unit_price",
        PricingCurrencyEffectiveCost="money",
        PricingCurrencyListUnitPrice="unit_price",
        PricingQuantity=_pricing_quantity(tokens),
        PricingUnit=pl.when(tokens).then(pl.lit("1000000 Tokens")).otherwise(pl.lit("Requests")),
        ProviderName=seller,
        PublisherName=seller,
        ResourceId=what,
        ResourceName=what,
        ResourceType=pl.when(pl.col("meter") == "tool").then(pl.lit("Tool")).otherwise(pl.lit("Model")),
        ServiceCategory=pl.lit("AI and Machine Learning"),
        ServiceName=pl.concat_str(seller, pl.lit(" API")),
        ServiceProviderName=seller,
        ServiceSubcategory=pl.lit("Generative AI"),
        SkuId="sku",
        SkuMeter=pl.col("meter").replace(meter),
        SkuPriceDetails=_details(),
        SkuPriceId=pl.concat_str("sku", pl.col("price_version").fill_null("unknown"), separator="@"),
        SubAccountId="tenant_id",
        SubAccountName="tenant_id",
        SubAccountType=pl.lit("Tenant"),
        Tags=_json({"tenant": "tenant", "agent": "agent", "run": "run", "environment": "environment"}),
        x_CostBasis=pl.lit("estimated"),
        x_PriceVersion="price_version",
    )


def _quantities(model: pl.DataFrame) -> pl.DataFrame:
    """Adds `<meter>_quantity` and `<meter>_cost`; the costs add up to the `stored` cost of each call."""
    read = pl.col("cache_read_tokens").fill_null(0).clip(0)
    write = pl.coalesce("cache_write_tokens", "cache_write_1h_tokens", pl.lit(0)).clip(0)
    audio = pl.col("input_audio_tokens").fill_null(0)
    spoken = pl.col("reasoning_tokens").fill_null(0) + pl.col("output_audio_tokens").fill_null(0)
    model = model.with_columns(
        total=pl.coalesce("input_tokens", pl.max_horizontal(read + write, audio)).clip(0),
        output_quantity=pl.coalesce("output_tokens", spoken).clip(0),
        request_quantity=pl.when(pl.col("request_pusd") > 0).then(1).otherwise(0).cast(pl.Int64),
    )
    model = model.with_columns(cache_read_quantity=pl.min_horizontal(read, "total"))
    room = pl.col("total") - pl.col("cache_read_quantity")
    model = model.with_columns(cache_write_quantity=pl.min_horizontal(write, room))
    model = model.with_columns(
        input_quantity=room - pl.col("cache_write_quantity"),
        **{
            f"{meter}_weight": pl.sum_horizontal(pl.col(f"{part}_pusd") for part in parts).cast(pl.Int128)
            for meter, (_, _, _, parts) in METERS.items()
            if parts
        },
    )
    return _divided(model)


def _divided(model: pl.DataFrame) -> pl.DataFrame:
    """The stored cost in proportion to the weights: by the book's parts, else by tokens. What rounding down leaves
    over goes to the greatest."""
    meters = [meter for meter in METERS if meter != "tool"]
    weight = pl.sum_horizontal(f"{meter}_weight" for meter in meters)
    model = model.with_columns(
        pl.when(weight > 0)
        .then(f"{meter}_weight")
        .otherwise(pl.col(f"{meter}_quantity").cast(pl.Int128))
        .alias(f"{meter}_weight")
        for meter in meters
    )
    whole = pl.max_horizontal(pl.sum_horizontal(f"{meter}_weight" for meter in meters), pl.lit(1, pl.Int128))
    stored = pl.col("stored").cast(pl.Int128)
    model = model.with_columns(
        pl.when(whole == stored)
        .then(f"{meter}_weight")
        .otherwise(stored * pl.col(f"{meter}_weight") // whole)
        .alias(f"{meter}_cost")
        for meter in meters
    )
    rest = stored - pl.sum_horizontal(f"{meter}_cost" for meter in meters)
    greatest = pl.concat_list(f"{meter}_weight" for meter in meters).list.arg_max()
    return model.with_columns(
        (pl.col(f"{meter}_cost") + pl.when(greatest == place).then(rest).otherwise(0)).alias(f"{meter}_cost")
        for place, meter in enumerate(meters)
    )


def _ascii(names: pl.Series) -> pl.Series:
    """Names in the characters that FOCUS allows, others percent-encoded; Tags hold them as they are."""
    distinct = names.drop_nulls().unique()
    safe = "".join(map(chr, range(32, 127)))
    written = [quote(name, safe=safe) for name in distinct]
    return names.replace_strict(distinct, written, default=None, return_dtype=pl.String)


def _pricing_quantity(tokens: pl.Expr) -> pl.Expr:
    millions = pl.col("quantity").cast(pl.String).str.zfill(7)
    millions = pl.concat_str(millions.str.head(-6), pl.lit("."), millions.str.tail(6)).str.to_decimal(scale=12)
    return pl.when(tokens).then(millions).otherwise(pl.col("quantity").cast(_MONEY))


def _unit_price(tokens: pl.Expr) -> pl.Expr:
    """What a pricing unit cost on average over the row, in USD to 12 places."""
    per_unit = pl.when(tokens).then(TOKENS_PER_UNIT).otherwise(1).cast(pl.Int128)
    quantity = pl.max_horizontal(pl.col("quantity").cast(pl.Int128), pl.lit(1, pl.Int128))
    return usd(pl.col("cost_pusd") * per_unit // quantity)


def _time(value: pl.Expr) -> pl.Expr:
    return value.dt.to_string("%Y-%m-%dT%H:%M:%SZ")


def _details() -> pl.Expr:
    """SkuPriceDetails: what FOCUS drafts call these properties, behind x_ because no ratified version has them."""
    direction = pl.col("meter").replace_strict({m: spec[1] for m, spec in METERS.items()}, return_dtype=pl.String)
    action = pl.col("meter").replace_strict({m: spec[2] for m, spec in METERS.items()}, return_dtype=pl.String)
    tokens = {"x_TokenDirection": direction, "x_TokenCacheAction": action}
    return _json({"x_ModelId": "model", **tokens, "x_ServiceTier": "service_tier"})


def _json(values: dict[str, pl.Expr | str]) -> pl.Expr:
    """A JSON object of texts, without the keys that are null."""
    pairs = [
        pl.concat_str(pl.lit(f'"{key}":'), _quoted(pl.col(value) if isinstance(value, str) else value))
        for key, value in values.items()
    ]
    inside = pl.concat_str(*pairs, separator=",", ignore_nulls=True).fill_null("")
    return pl.concat_str(pl.lit("{"), inside, pl.lit("}"))


def _quoted(text: pl.Expr) -> pl.Expr:
    """Texts as JSON: cut out of an object with that one value. Null stays null."""
    return pl.when(text.is_not_null()).then(pl.struct(text.alias("v")).struct.json_encode().str.slice(5).str.head(-1))
