"""One model call that several spans tell of: around each other, beside each other, one after the other. Pure.

Two instrumentations in one program see the same call, and some emitters send a stream's usage as a note of its own.
Frames of calls have `row`, `run`, `status`, `start_ns`, `duration_ns`, the columns of TOLD and `response_hash`.
"""

import polars as pl

from analytics.trees import Mask, Rows, nearest, topmost
from collector.semconv import TOKENS

TOLD = ("model", "request_model", "provider", "service_tier", "reported_pusd", *TOKENS)

# How providers and gateways decorate a model's name: a path or vendor before it, a date or version after it.
_BEFORE = r"^.*/|^(?:[a-z]{2,6}\.)?(?:anthropic|amazon|meta|mistral|cohere|openai|google)\."
_AFTER = r"(?:[-@:](?:\d{8}|\d{4}-\d{2}-\d{2}|\d{3,4}|latest|preview(?:-\d{2}-\d{2,4})?|v\d+(?::\d+)?))+$"


def one_each(calls: pl.DataFrame, spans: pl.DataFrame, outer: Rows, inner_calls: pl.Series) -> pl.DataFrame:
    """The calls, each once and with all that any of its spans tells.

    outer: for each row of `spans` the model call around it (-1: none). inner_calls: how many it is around.
    """
    calls = _with_what_is_around(calls, spans, outer, inner_calls)
    response = pl.when(pl.col("response_hash").is_not_null()).then(pl.struct("run", "response_hash").rank("dense"))
    calls = _merged(calls, calls.select(response).to_series())
    if not calls.select(pl.struct("run").is_duplicated().any()).item():
        return calls
    placed = _placed(calls, spans, outer)
    calls = _merged(calls, _notes(placed))
    return _merged(calls, _beside(placed.join(calls, on="row", how="semi")))


def has_usage() -> pl.Expr:
    """Whether usage is told: a call without a single token told nothing."""
    return pl.col("input_tokens").fill_null(0) + pl.col("output_tokens").fill_null(0) > 0


def family(column: str) -> pl.Expr:
    """A model's name without vendor, date and version, to compare what two instrumentations call it."""
    return pl.col(column).str.to_lowercase().str.replace(_BEFORE, "").str.replace(_AFTER, "")


def same_call(other: str) -> pl.Expr:
    """One call seen twice: the same response; else one family of models and equal totals where both are told."""
    agree = pl.lit(True)
    for column in ("input_tokens", "output_tokens"):
        agree &= (pl.col(column) == pl.col(f"{other}_{column}")).fill_null(True)
    families = (family("model") == family(f"{other}_model")).fill_null(True)
    return (pl.col("response_hash") == pl.col(f"{other}_response_hash")).fill_null(agree & families)


def _with_what_is_around(calls: pl.DataFrame, spans: pl.DataFrame, outer: Rows, inner_calls: pl.Series) -> pl.DataFrame:
    """What an inner call does not tell, from the calls around it that are the same call, up to three layers."""
    above, alone = pl.Series(outer), inner_calls == 1
    around = above.gather(calls["row"])
    for _ in range(3):
        around = around.set(around < 0, None)
        around = around.set(~alone.gather(around).fill_null(False), None)
        if around.null_count() == len(around):
            return calls
        told = spans.select(*TOLD, "response_hash").select(pl.all().gather(around).name.prefix("outer_"))
        both = pl.concat([calls, told], how="horizontal")
        same = around.is_not_null() & both.select(same_call("outer")).to_series()
        calls = both.with_columns(
            _answering("outer", same),
            *(
                pl.when(same).then(pl.coalesce(c, f"outer_{c}")).otherwise(c).alias(c)
                for c in (*TOLD[1:], "response_hash")
            ),
        ).select(calls.columns)
        around = above.gather(around)
    return calls


def with_sums_of_one(calls: pl.DataFrame, spans: pl.DataFrame, is_sum: Mask) -> pl.DataFrame:
    """What a call does not tell, from the nearest span around it that is no call but tells usage (`is_sum`: an agent, a
    node of a graph with its message), where that is this call's alone: no other call with usage below, equal totals."""
    if not is_sum.any():
        return calls
    around = nearest(spans["parent"].to_numpy(), is_sum)[calls["row"].to_numpy()]
    if not (around >= 0).any():
        return calls
    told = spans.select(*TOLD, "response_hash").select(
        pl.all().gather(pl.Series(around).set(pl.Series(around < 0), None)).name.prefix("sum_")
    )
    both = pl.concat([calls, told, pl.DataFrame({"sum": around})], how="horizontal")
    equal = (pl.col("input_tokens") == pl.col("sum_input_tokens")) & (
        pl.col("output_tokens") == pl.col("sum_output_tokens")
    )
    alone = has_usage().cast(pl.Int32).sum().over("sum") == 1
    same = (pl.col("sum") >= 0) & equal & alone & same_call("sum")
    told_too = (c for c in (*TOLD[1:], "response_hash") if c != "reported_pusd")
    return both.with_columns(
        _answering("sum", same), *(pl.coalesce(c, pl.when(same).then(f"sum_{c}")).alias(c) for c in told_too)
    ).select(calls.columns)


def _answering(other: str, same: pl.Expr | pl.Series) -> pl.Expr:
    """The model of a call, as the other tells it where the call does not, or names only the one that was asked."""
    asked = (pl.col("model") == pl.col("request_model")) & (family("model") == family(f"{other}_model"))
    theirs = pl.when(same).then(f"{other}_model")
    return pl.when(asked).then(pl.coalesce(theirs, "model")).otherwise(pl.coalesce("model", theirs)).alias("model")


def _merged(calls: pl.DataFrame, key: pl.Series) -> pl.DataFrame:
    """Calls of one key (null: none) as one: the longest span, and what the first one with usage tells before others."""
    keyed = calls.with_columns(key=key)
    several = keyed.filter(pl.col("key").is_not_null() & pl.col("key").is_duplicated())
    if several.is_empty():
        return calls
    told = (*TOLD, "response_hash")
    merged = (
        several.sort(~has_usage(), "row")
        .group_by("key", maintain_order=True)
        .agg(
            pl.coalesce(
                pl.col("model").filter(pl.col("model") != pl.col("request_model")).first(),
                pl.col("model").drop_nulls().first(),
            ),
            *(pl.col(c).drop_nulls().first() for c in told[1:]),
            *(pl.col(c).sort_by("duration_ns", descending=True).first() for c in calls.columns if c not in told),
        )
        .select(calls.columns)
    )
    return pl.concat([calls.join(several, on="row", how="anti"), merged]).sort("row")


def _placed(calls: pl.DataFrame, spans: pl.DataFrame, outer: Rows) -> pl.DataFrame:
    """Where the outermost span of each call stands: adds `beside` (the row it hangs on), `scope`, `begun_ns` and
    `ended_ns` of that span."""
    top = spans.select("parent", "scope", "start_ns", "duration_ns").select(
        pl.all().gather(pl.Series(topmost(outer)).gather(calls["row"])).name.prefix("top_")
    )
    return pl.concat([calls, top], how="horizontal").with_columns(
        beside="top_parent",
        scope="top_scope",
        begun_ns="top_start_ns",
        ended_ns=pl.col("top_start_ns") + pl.col("top_duration_ns"),
    )


def _notes(calls: pl.DataFrame) -> pl.Series:
    """The row that each call shares with its note: a call that took no time belongs to an earlier one beside it, of
    the same scope and model, that tells the same usage, else to one that tells none (the second note to the second
    such call)."""
    by = ["run", "beside", "scope", "request_model"]
    took_none = pl.col("ended_ns") == pl.col("begun_ns")
    notes = calls.filter(took_none)
    answered = calls.filter(~took_none & (pl.col("status") == "ok"))
    if notes.is_empty() or answered.is_empty():
        return _pair_keys(calls, notes.clear().with_columns(first="row"))
    same = _nth_pairs(answered, notes, [*by, "input_tokens", "output_tokens"])
    notes = notes.join(same, on="row", how="anti")
    silent = _nth_pairs(answered.filter(~has_usage()), notes, by)
    pairs = pl.concat([same, silent])
    return _pair_keys(calls, pairs.filter(pl.col("first_begun_ns") <= pl.col("begun_ns")))


def _beside(calls: pl.DataFrame) -> pl.Series:
    """The row that each call shares with the same call as another instrumentation saw it: on the same span, of the
    same model, one within the time of the other, and at odds in nothing that both tell. The second call of one is the
    second of the other; else each is the only such call of the other."""
    calls = calls.with_columns(family=family("model"))
    by = ["run", "beside", "family"]
    hanging = calls.filter(pl.col("beside") >= 0).sort("begun_ns", "row")
    leads = pl.col("scope") == pl.col("scope").first().over(by)
    hanging = hanging.with_columns(leads=leads)
    pairs = _nth_pairs(hanging.filter("leads"), hanging.filter(~pl.col("leads")), by, within="scope")
    pairs = pairs.filter(_at_once() & same_call("first"))
    paired = pl.concat([pairs["row"], pairs["first"]])
    left = hanging.filter(~pl.col("row").is_in(paired.implode()))
    only = _pairs(left.filter("leads"), left.filter(~pl.col("leads")), by).filter(_at_once() & same_call("first"))
    only = only.filter(~pl.col("row").is_duplicated() & ~pl.col("first").is_duplicated())
    return _pair_keys(calls, pl.concat([pairs.select("row", "first"), only.select("row", "first")]))


def _at_once() -> pl.Expr:
    """One of a pair is within the time of the other."""
    inside = (pl.col("begun_ns") >= pl.col("first_begun_ns")) & (pl.col("ended_ns") <= pl.col("first_ended_ns"))
    around = (pl.col("begun_ns") <= pl.col("first_begun_ns")) & (pl.col("ended_ns") >= pl.col("first_ended_ns"))
    return inside | around


def _nth_pairs(firsts: pl.DataFrame, others: pl.DataFrame, by: list[str], within: str = "run") -> pl.DataFrame:
    """Each of `others` with the one of `firsts` that has the same place among those of its `by` (and `within`), in
    order of time."""
    place = pl.int_range(pl.len()).over(*{*by, within}, order_by=["begun_ns", "row"])
    return _pairs(firsts.with_columns(nth=place), others.with_columns(nth=place), [*by, "nth"]).drop("nth")


def _pairs(firsts: pl.DataFrame, others: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Each of `others` with each of `firsts` of one `by`: the columns of `others`, `first` (a row) and `first_...`."""
    told = ("begun_ns", "ended_ns", "model", "input_tokens", "output_tokens", "response_hash")
    firsts = firsts.select(*by, first="row", **{f"first_{c}": c for c in told})
    return others.join(firsts, on=by, nulls_equal=True)


def _pair_keys(calls: pl.DataFrame, pairs: pl.DataFrame) -> pl.Series:
    """For each call the row of the call it belongs to (`first` of its pair), its own where others belong to it."""
    key = calls.select("row").join(pairs.select("row", "first"), on="row", how="left", maintain_order="left")
    own = pl.when(pl.col("row").is_in(pairs["first"].implode())).then("row")
    return key.select(pl.coalesce("first", own)).to_series()
