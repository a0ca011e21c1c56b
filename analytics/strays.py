"""Model calls in a trace of their own: an instrumentation that knew nothing of the run around it began one. Pure.

Frames of spans are those of `structure`, with `row`, `part`, `parent`, `leader`, `root`, `counted`, `adopted`,
`agent_row`. A part that follows a run gets its `leader` and `root`, and `adopted` is true.
"""

import polars as pl

from analytics.twins import TOLD, same_call

WINDOW_NS = 10 * 10**9
"""How far apart two instrumentations may say that a call began."""
MOST_TRACES = 3
"""A response told in more traces has no id of its own."""

PROCESS = ["ingest_tenant", "service", "instance"]


def follow_response(spans: pl.DataFrame) -> pl.DataFrame:
    """Gives a part of model calls alone to the run that tells of the same response at the same time: an
    instrumentation that knew nothing of the run around it began a trace of its own. Of several such parts the earliest
    holds the others."""
    response = ["ingest_tenant", "response_hash"]
    calls = spans.filter((pl.col("kind") == "llm.call") & pl.col("response_hash").is_not_null() & pl.col("counted"))
    calls = calls.filter(pl.col("part").n_unique().over(response).is_between(2, MOST_TRACES))
    if calls.is_empty():
        return spans
    bare = spans.group_by("part").agg(
        bare=pl.col("kind").is_in(["llm.call", "other"]).all(), part_ns=pl.col("start_ns").min()
    )
    calls = calls.join(bare, on="part").with_columns(rank=_rank(), ended_ns=pl.col("start_ns") + pl.col("duration_ns"))
    told = ("rank", "leader", "root", "start_ns", "ended_ns")
    others = calls.select(*response, **{f"other_{c}": c for c in told})
    at_once = (pl.col("start_ns") <= pl.col("other_ended_ns")) & (pl.col("other_start_ns") <= pl.col("ended_ns"))
    holders = (
        calls.filter("bare")
        .join(others, on=response, nulls_equal=True)
        .filter((pl.col("other_rank") < pl.col("rank")) & at_once)
        .sort("other_rank")
        .group_by("part", maintain_order=True)
        .agg(pl.first("other_leader", "other_root"))
    )
    return (
        spans.join(holders, on="part", how="left", maintain_order="left")
        .with_columns(
            leader=pl.coalesce("other_leader", "leader"),
            root=pl.when(pl.col("other_leader").is_null()).then("root").otherwise("other_root"),
            adopted=pl.col("adopted") | pl.col("other_leader").is_not_null(),
        )
        .drop("other_leader", "other_root")
    )


def follow_clock(spans: pl.DataFrame) -> pl.DataFrame:
    """Hangs a trace of one model call alone below the call of the same process that another instrumentation tells of:
    it contains it in time, and nothing that both tell is at odds. Only where each of the two has no other such call,
    and they have no response id in common to go by (streams of LangChain, failed requests)."""
    strays, others = _strays_and_others(spans)
    if strays.is_empty() or others.is_empty():
        return spans
    both = (pl.col("status") == "error") == (pl.col("other_status") == "error")
    earlier = pl.col("other_rank") < pl.col("rank")
    pairs = within(strays, others).filter(both & earlier & same_call("other"))
    pairs = pairs.filter(~pl.col("row").is_duplicated() & ~pl.col("other_row").is_duplicated())
    if pairs.is_empty():
        return spans
    place = pairs.select("part", *(f"other_{c}" for c in ("row", "leader", "root", "agent_row")), stray="row")
    hung = pl.col("stray").is_not_null()
    return (
        spans.join(place, on="part", how="left", maintain_order="left")
        .with_columns(
            parent=pl.when(pl.col("row") == pl.col("stray")).then("other_row").otherwise("parent"),
            adopted=pl.col("adopted") | hung,
            **{c: pl.when(hung).then(f"other_{c}").otherwise(c) for c in ("leader", "root", "agent_row")},
        )
        .drop("stray", *(f"other_{c}" for c in ("row", "leader", "root", "agent_row")))
    )


def _strays_and_others(spans: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The roots of traces of one model call alone, and all model calls of the same processes."""
    is_call = (pl.col("kind") == "llm.call") & pl.col("counted")
    parts = spans.group_by("part").agg(
        bare=pl.col("kind").is_in(["llm.call", "other"]).all(),
        calls=(pl.col("kind") == "llm.call").sum(),
        part_ns=pl.col("start_ns").min(),
    )
    told = ("row", "part", "leader", "root", "agent_row", "start_ns", "status", "scope", "response_hash", *TOLD)
    calls = (
        spans.filter(is_call & pl.col("instance").is_not_null() & ~pl.col("adopted"))
        .join(parts, on="part", maintain_order="left")
        .with_columns(rank=_rank(), ended_ns=pl.col("start_ns") + pl.col("duration_ns"))
        .with_columns(stray=pl.col("bare") & (pl.col("calls") == 1) & pl.col("parent_id").is_null())
        .select(*PROCESS, *told, "rank", "ended_ns", "stray")
    )
    strays = calls.filter("stray").drop("stray")
    return strays, calls.join(strays, on=PROCESS, how="semi", nulls_equal=True).drop("stray")


def within(roots: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Each of the calls that are roots of their traces with each of `others` (as `other_...`) that contains it in time,
    of the same process but told by another scope, with no response id in common."""
    scopes = pl.concat([roots.select(*PROCESS, "scope"), others.select(*PROCESS, "scope")]).unique()
    several = scopes.filter(pl.len().over(PROCESS) > 1)
    roots = roots.join(several, on=PROCESS, how="semi", nulls_equal=True)
    others = others.join(several, on=PROCESS, how="semi", nulls_equal=True).rename(lambda c: f"other_{c}")
    pairs = roots.join_where(
        others,
        pl.col("start_ns") >= pl.col("other_start_ns"),
        pl.col("ended_ns") <= pl.col("other_ended_ns"),
    )
    possible = pl.col("start_ns") <= pl.col("other_start_ns") + WINDOW_NS
    possible &= pl.col("scope") != pl.col("other_scope")
    possible &= pl.col("response_hash").is_null() | pl.col("other_response_hash").is_null()
    for column in PROCESS:
        possible &= pl.col(column).eq_missing(pl.col(f"other_{column}"))
    return pairs.filter(possible)


def _rank() -> pl.Expr:
    """Which part holds another: what is more than calls alone, then the earlier one."""
    return pl.struct("bare", "part_ns", "part").rank("dense")
