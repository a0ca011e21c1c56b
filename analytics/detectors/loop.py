"""Loop: the same tool call again and again, or a round of several, and nothing new comes back. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import polars as pl

KEYS = ["run", "agent_row"]
LIMITED = ("repeats", "longest_round", "costly_pusd")
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Limits:
    """When repetition is a loop. Of 200 real runs of tau-bench, none of which loops, one goes round (think, book) for
    three and a half times and three get one answer three times in a row: four is the smallest number that spares
    them. `longest_round`: calls in a round; `costly_pusd`: waste from which a certain loop is high."""

    repeats: int = 4
    longest_round: int = 5
    costly_pusd: int = 10**11


def find(
    calls: pl.DataFrame, limits: Limits = Limits(), by_agent: Mapping[str, Limits] = MappingProxyType({})
) -> pl.DataFrame:
    """The loops in the calls of whole runs, as `Detector` describes them.

    Two calls are the same if tool, arguments and outcome are, and their results where both are known; or if only the
    shape of the arguments is the same but the result is. An argument that pages on makes a call another one, and so
    does a changed result: polling is no loop. Unknown arguments are never the same; where results are unknown the
    evidence is `partial`. Attempts that a framework repeats within one turn after a failure are one call.
    """
    calls = calls.with_columns(at=pl.int_range(pl.len()))
    tries = _with_limits(_tries(calls), limits, by_agent).with_columns(place=pl.int_range(pl.len()))
    taken = np.zeros(len(tries), np.bool_)
    stretches = []
    for period in range(1, max(c.longest_round for c in (limits, *by_agent.values())) + 1):
        found = _stretches(tries, period, taken)
        for first, last in found.select("first", "last").iter_rows():
            taken[first : last + 1] = True
        stretches.append(found)
    return _describe(pl.concat(stretches).with_row_index("finding"), calls, tries)


def _tries(calls: pl.DataFrame) -> pl.DataFrame:
    """Tool calls in order, attempts of one turn after a failure folded into the last of them (`attempts`)."""
    tools = calls.filter(pl.col("kind") == "tool.call").sort(*KEYS, "start_ns", "at")
    again = pl.all_horizontal(pl.col(c).shift() == pl.col(c) for c in (*KEYS, "tool", "args_hash", "step"))
    again &= pl.col("status").shift() == "error"
    first = (~again.fill_null(False)).cum_sum()
    return (
        tools.with_columns(attempt=first)
        .group_by("attempt", maintain_order=True)
        .agg(pl.exclude("attempt").last(), attempts=pl.col("at"))
    )


def _with_limits(tries: pl.DataFrame, limits: Limits, by_agent: Mapping[str, Limits]) -> pl.DataFrame:
    known = [(None, limits), *by_agent.items()]
    table = pl.DataFrame(
        [(agent, c.repeats, c.longest_round, c.costly_pusd) for agent, c in known],
        schema={"agent": pl.String, "repeats": pl.Int64, "longest_round": pl.Int64, "costly_pusd": pl.Int64},
        orient="row",
    )
    own = tries.with_columns(limited=pl.when(pl.col("agent").is_in(list(by_agent))).then("agent"))
    return own.join(table, left_on="limited", right_on="agent", nulls_equal=True, maintain_order="left")


def _stretches(tries: pl.DataFrame, period: int, taken: Mask) -> pl.DataFrame:
    """Where each call is the same as the one `period` before it, for long enough: one row a stretch.

    `first` and `last`: places of its calls in `tries`, none of them `taken`; `full`: whether every result is known.
    """
    here = pl.all_horizontal(pl.col(key) == pl.col(key).shift(period) for key in KEYS)

    def same(column: str, back: int = period) -> pl.Expr:
        return (pl.col(column) == pl.col(column).shift(back)).fill_null(False)

    def differs(column: str) -> pl.Expr:
        return (pl.col(column) != pl.col(column).shift(period)).fill_null(False)

    one_server = pl.col("tool_server").eq_missing(pl.col("tool_server").shift(period))
    tool = here.fill_null(False) & same("tool") & one_server & same("status") & ~differs("paging")
    origin = same("result_emitted")
    result = same("result_hash") & origin
    args = same("args_hash") & ~(differs("result_hash") & origin)
    shape = same("args_shape") & result
    repeated = tries.select(
        "place",
        *LIMITED,
        same=tool & same("args_emitted") & (args | shape),
        full=result,
        varied=~(same("tool", 1) & same("args_hash", 1)),
    )
    start = pl.col("same") & ~pl.col("same").shift(fill_value=False)
    free = np.concatenate([[0], np.cumsum(taken)])
    found = (
        repeated.with_columns(stretch=start.cum_sum())
        .filter("same")
        .group_by("stretch", maintain_order=True)
        .agg(
            pl.first(*LIMITED),
            first=pl.col("place").first() - period,
            last=pl.col("place").last(),
            full=pl.col("full").all(),
            varied=pl.col("varied").any(),
        )
        .filter(
            pl.col("last") - pl.col("first") + 1 >= pl.col("repeats") * period,
            pl.col("longest_round") >= period,
            pl.col("varied") | (period == 1),
        )
    )
    untouched = free[found["last"].to_numpy() + 1] == free[found["first"].to_numpy()]
    return found.filter(pl.Series(untouched)).with_columns(period=pl.lit(period)).drop("stretch", "longest_round")


def _describe(found: pl.DataFrame, calls: pl.DataFrame, tries: pl.DataFrame) -> pl.DataFrame:
    """Evidence, waste and words."""
    evidence = (
        found.select("finding", "first", "period", place=pl.int_ranges("first", pl.col("last") + 1))
        .explode("place")
        .join(tries, on="place", maintain_order="left")
    )
    facts = evidence.group_by("finding", maintain_order=True).agg(
        pl.first("run", "agent"),
        rows=pl.col("row"),
        span_ids=pl.col("span_id"),
        subject=pl.col("tool").unique(maintain_order=True).str.join(", "),
        harmful=(pl.col("tool_class").is_in(["write", "danger"]) | pl.col("tool_action").is_not_null()).any(),
        same_args=pl.col("args_hash").n_unique() <= pl.col("tool").n_unique(),
        started_ns=pl.col("start_ns").min(),
        ended_ns=(pl.col("start_ns") + pl.col("duration_ns")).max(),
    )
    again = evidence.filter(pl.col("place") >= pl.col("first") + pl.col("period"))
    found = found.join(facts, on="finding", maintain_order="left").join(
        _waste(again.select("finding", at="attempts").explode("at"), calls), on="finding", maintain_order="left"
    )
    rounds = (pl.col("last") - pl.col("first") + 1) // pl.col("period")
    certain = pl.col("full")
    costly = (pl.col("wasted_pusd") >= pl.col("costly_pusd")) | pl.col("harmful")
    severity = pl.when(~certain).then(pl.lit("low")).when(costly).then(pl.lit("high")).otherwise(pl.lit("medium"))
    actions = {"high": "stop the run", "medium": "quarantine the tool for the run", "low": "ask approval"}
    return found.with_columns(
        occurrences=rounds.cast(pl.Int32),
        severity=severity,
        evidence=pl.when("full").then(pl.lit("full")).otherwise(pl.lit("partial")),
        sentence=_sentence(rounds),
        action=severity.replace_strict(actions, return_dtype=pl.String),
    ).select(
        "run", "agent", "severity", "evidence", "subject", "occurrences", "rows", "span_ids", "wasted", "wasted_pusd",
        "started_ns", "ended_ns", "sentence", "action",
    )  # fmt: skip


def _waste(again: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """By finding: the calls that were for nothing (`wasted`), and their cost. These are the repeated calls (`at`) and
    each model call that asked for nothing else."""
    tools = calls.filter(pl.col("kind") == "tool.call").join(again, on="at", how="left")
    idle = (
        tools.filter(pl.col("asker").is_not_null())
        .group_by("asker")
        .agg(pl.col("finding").first(), nothing_else=pl.col("finding").is_not_null().all())
        .filter("nothing_else")
    )
    askers = calls.filter(pl.col("kind") == "llm.call").join(idle, left_on="row", right_on="asker")
    wasted = pl.concat([again, askers.select("finding", "at")]).join(calls.select("at", "cost_pusd"), on="at")
    return wasted.group_by("finding").agg(wasted=pl.col("at"), wasted_pusd=pl.col("cost_pusd").fill_null(0).sum())


def _sentence(rounds: pl.Expr) -> pl.Expr:
    times = rounds.cast(pl.String)
    how = pl.when("same_args").then(pl.lit("the same arguments")).otherwise(pl.lit("alike arguments"))
    what = pl.when("full").then(pl.lit(" and the same result")).otherwise(pl.lit("; its results are not known"))
    usd = (pl.col("wasted_pusd") / 10**12).round(6).cast(pl.String)
    cost = pl.when(pl.col("wasted_pusd") > 0).then(pl.format(" The repeats cost ${}.", usd)).otherwise(pl.lit(""))
    one = pl.format("{} was called {} times in a row with {}{}.", "subject", times, how, what)
    several = pl.format("The round {} was gone through {} times with {}{}.", "subject", times, how, what)
    return pl.when(pl.col("period") == 1).then(one).otherwise(several) + cost
