"""Leaf model calls and logical tool calls: what totals of money, tokens and calls are made of. Pure.

Input is the frame of spans from `structure` (sorted, with `row`, `parent`, `run`, identity). A frame of calls has
the columns of the table `calls` (without money) and of `call_groups`, and `run`, `row` (its span), `agent_row` (the
agent.run around it), `asker` (row of the model call whose turn it is part of, null: none), `args_hash`,
`args_shape`, `paging`, `result_hash`, `args_emitted`, `result_emitted`, `tool_class`, `tool_action`, `retry`.
"""

import numpy as np
import polars as pl

from analytics.trees import Mask, Rows, nearest, topmost
from analytics.twins import TOLD, has_usage, one_each, with_sums_of_one
from collector.semconv import TOKENS, Flag

NAMED = ("tenant", "user", "session", "agent", "agent_version", "environment", "service", "service_version", "dialect")
HASHES = ("args_hash", "args_shape", "paging", "result_hash", "args_emitted", "result_emitted")
COMMON = (
    "run", "row", "agent_row", "span_id", "start_ns", "duration_ns", "status", "error_reason", "call_hash", "cache_hit",
    *NAMED,
)  # fmt: skip
TOLD_BY_TOOL = (
    "tool",
    "tool_server",
    "tool_class",
    "tool_action",
    "retry_count",
    "args_bytes",
    "result_bytes",
    *HASHES,
)


def find_calls(spans: pl.DataFrame, tool_parts: pl.DataFrame, failed: pl.Series) -> pl.DataFrame:
    """All calls of the runs in `spans`, in order of (run, start, span). `failed`: the runs that did not end well."""
    spans = spans.with_columns(
        args_emitted=pl.col("flags") & int(Flag.ARGS_FROM_EMITTER) != 0,
        result_emitted=pl.col("flags") & int(Flag.RESULT_FROM_EMITTER) != 0,
        cache_hit=(pl.col("flags") & int(Flag.CACHE_HIT) != 0) & (pl.col("kind") == "llm.call"),
    )
    model, tool = model_calls(spans), tool_calls(spans)
    derived = derived_calls(spans, tool_parts, tool["run"].unique(), failed)
    calls = pl.concat([model, tool, derived], how="diagonal").sort("run", "start_ns", "row", "call_hash")
    return _retries(_steps(calls))


def _enclosing(spans: pl.DataFrame, kind: str) -> tuple[Mask, Rows]:
    """Which spans are of `kind`, and for each the next one of that kind around it (-1: none) with no other model
    call, tool call or agent between."""
    placed = spans["placed"].to_numpy()
    of_kind = (spans["kind"] == kind).to_numpy() & placed
    act = spans["kind"].is_in(["llm.call", "tool.call", "agent.run"]).to_numpy() & placed
    around = nearest(spans["parent"].to_numpy(), act)
    return of_kind, np.where(of_kind & (around >= 0) & of_kind[around], around, -1)


def model_calls(spans: pl.DataFrame) -> pl.DataFrame:
    """Leaf model calls, each once (see `twins`). A model call around another is the same call seen by a second
    instrumentation: the inner one counts, the outer one fills its gaps if it surely is the same. Usage told only for
    several calls together (on an agent, a workflow, a turn) counts where its run has nothing better, marked
    `aggregate`."""
    is_call, outer = _enclosing(spans, "llm.call")
    inner_calls = np.bincount(outer[outer >= 0], minlength=len(spans))
    sums = (spans["flags"].to_numpy() & int(Flag.AGGREGATE)) != 0
    leaf = is_call & (inner_calls == 0) & ~sums & spans["counted"].to_numpy()
    calls = spans.filter(pl.Series(leaf)).select(*COMMON, *TOLD, "response_hash")
    calls = one_each(_without_empty_usage(calls), spans, outer, pl.Series(inner_calls))
    calls = with_sums_of_one(calls, spans, sums & spans["counted"].to_numpy())
    return _aggregates(calls, spans, leaf).with_columns(kind=pl.lit("llm.call"), derived=False).drop("response_hash")


def _without_empty_usage(calls: pl.DataFrame) -> pl.DataFrame:
    """Some emitters send zeros where they know nothing: that is no usage."""
    return calls.with_columns(pl.when(has_usage()).then(pl.col(c)) for c in TOKENS)


def _aggregates(calls: pl.DataFrame, spans: pl.DataFrame, leaf: Mask) -> pl.DataFrame:
    """Adds usage that only spans around the calls tell, in runs where no call tells any.

    It goes to the first call below that span that did not fail (its model, if all below agree); a span with no call
    below becomes one call itself.
    """
    calls = calls.with_columns(aggregate=pl.lit(False))
    told = calls.filter(has_usage())["run"].unique()
    open_ = spans.select(
        has_usage() & pl.col("counted") & pl.col("run").is_not_null() & ~pl.col("run").is_in(told.implode())
    ).to_series().to_numpy() & ~leaf  # fmt: skip
    if not open_.any():
        return calls
    above = nearest(spans["parent"].to_numpy(), open_)
    outermost = open_ & (above < 0)
    sums = spans.filter(pl.Series(outermost)).select(*COMMON, *TOLD, "response_hash", aggregate=pl.lit(True))
    below = topmost(np.where(open_, above, -1))
    sum_row = np.where(above >= 0, below[above], -1)[calls["row"].to_numpy()]
    first = (
        calls.with_columns(sum_row=pl.Series(sum_row))
        .filter(pl.col("sum_row") >= 0)
        .sort(pl.col("status") == "error", "start_ns", "row")
        .group_by("sum_row", maintain_order=True)
        .agg(pl.first("row").alias("call_row"), pl.col("model").drop_nulls().unique().alias("models"))
    )
    sums = sums.join(first, left_on="row", right_on="sum_row", how="left", maintain_order="left")
    own = sums.filter(pl.col("call_row").is_null()).select(calls.columns)
    given = sums.filter(pl.col("call_row").is_not_null()).select(
        pl.col("call_row").alias("row"), "models", *(pl.col(c).alias(f"sum_{c}") for c in (*TOLD, "aggregate"))
    )
    filled = calls.join(given, on="row", how="left", maintain_order="left")
    got, agreed = pl.col("sum_aggregate").is_not_null(), pl.col("models").list.len() <= 1
    filled = filled.with_columns(
        *(pl.when(got).then(f"sum_{c}").otherwise(c).alias(c) for c in ("reported_pusd", *TOKENS)),
        *(pl.when(~got | agreed).then(pl.coalesce(c, f"sum_{c}")).alias(c) for c in ("model", "provider")),
        aggregate=got,
    )
    return pl.concat([filled.select(calls.columns), own])


def tool_calls(spans: pl.DataFrame) -> pl.DataFrame:
    """Logical tool calls: of nested spans for one call (framework, MCP client, MCP server) the outermost counts,
    with the server and hashes that the inner ones know and the failure that only they admit."""
    is_tool, outer = _enclosing(spans, "tool.call")
    is_tool &= spans["counted"].to_numpy()
    refused, unheard = _refusals(spans, is_tool)
    calls = spans.filter(pl.Series(is_tool)).select(*COMMON, *TOLD_BY_TOOL)
    denied = pl.col("row").is_in(refused.implode()) & (pl.col("status") == "ok")
    calls = calls.with_columns(status=pl.when(denied).then(pl.lit("denied")).otherwise("status"))
    around = outer[calls["row"].to_numpy()]
    if (around >= 0).any():
        told = spans.select("tool", "call_hash", "args_hash")[np.maximum(around, 0)].rename(lambda c: f"outer_{c}")
        same = pl.concat([calls, told], how="horizontal").select(_same_tool()).to_series().fill_null(False).to_numpy()
        link = np.full(len(spans), -1)
        link[calls["row"].to_numpy()] = np.where((around >= 0) & same, around, -1)
        calls = _outermost(calls.with_columns(call=pl.Series(topmost(link)[calls["row"].to_numpy()])))
    calls = pl.concat([calls, unheard.with_columns(status=pl.lit("denied")).select(*COMMON, *TOLD_BY_TOOL)])
    return calls.with_columns(kind=pl.lit("tool.call"), derived=False, aggregate=False)


def _refusals(spans: pl.DataFrame, is_tool: Mask) -> tuple[pl.Series, pl.DataFrame]:
    """Rows of the tool calls whose last policy check refused them; and the refusing log records of calls of which
    nothing else tells: such a record stands for the call that was asked for."""
    checks = spans.filter((pl.col("kind") == "policy.check") & pl.col("counted") & pl.col("run").is_not_null())
    deny = pl.col("decision") == "deny"
    if not checks.select(deny.any()).item():
        return pl.Series([], dtype=pl.Int64), spans.clear()
    act = is_tool | spans["kind"].is_in(["llm.call", "agent.run"]).to_numpy()
    around = nearest(spans["parent"].to_numpy(), act)[checks["row"].to_numpy()]
    around = np.where((around >= 0) & is_tool[around], around, -1)
    checks = checks.with_columns(tool_row=pl.Series(around))
    last = checks.filter(pl.col("tool_row") >= 0).sort("start_ns", "row").group_by("tool_row").last()
    call = ["run", "call_hash"]
    logged = pl.col("flags") & int(Flag.FROM_LOG) != 0
    alone = checks.filter(deny & logged & (pl.col("tool_row") < 0) & pl.col("call_hash").is_not_null()).unique(call)
    heard = spans.filter(pl.Series(is_tool)).select(call)
    return last.filter(deny)["tool_row"], alone.join(heard, on=call, how="anti").sort("row")


def _same_tool() -> pl.Expr:
    """One call seen twice: same tool (or unnamed), same call id, or same arguments and a name with a prefix."""
    named = pl.col("tool").is_null() | (pl.col("tool") == pl.col("outer_tool"))
    prefixed = pl.col("outer_tool").str.ends_with(pl.col("tool")) & (pl.col("args_hash") == pl.col("outer_args_hash"))
    return named.fill_null(False) | (pl.col("call_hash") == pl.col("outer_call_hash")).fill_null(False) | prefixed


def _outermost(calls: pl.DataFrame) -> pl.DataFrame:
    """One row for the spans that share `call`."""
    inner = calls.filter(pl.col("row") != pl.col("call")).sort("row")
    if inner.is_empty():
        return calls.drop("call")
    known = ("tool", "tool_server", "tool_class", "tool_action", "args_bytes", "result_bytes", *HASHES)
    hints = inner.group_by("call").agg(
        *(pl.col(c).drop_nulls().first().alias(f"inner_{c}") for c in known),
        inner_status=pl.col("status").last(),
        inner_error_reason=pl.col("error_reason").last(),
    )
    admitted = (pl.col("status") == "ok") & pl.col("inner_status").is_in(["error", "denied"])
    return (
        calls.filter(pl.col("row") == pl.col("call"))
        .join(hints, on="call", how="left", maintain_order="left")
        .with_columns(
            *(pl.coalesce(c, f"inner_{c}").alias(c) for c in known if not c.endswith("_emitted")),
            *(
                pl.when(pl.col(h).is_null()).then(pl.coalesce(f"inner_{c}", c)).otherwise(c).alias(c)
                for c, h in (("args_emitted", "args_hash"), ("result_emitted", "result_hash"))
            ),
            status=pl.when(admitted).then("inner_status").otherwise("status"),
            error_reason=pl.when(admitted).then("inner_error_reason").otherwise("error_reason"),
        )
        .select(calls.drop("call").columns)
    )


def derived_calls(spans: pl.DataFrame, parts: pl.DataFrame, with_tools: pl.Series, failed: pl.Series) -> pl.DataFrame:
    """Tool calls that model messages name, one per call id, in runs that send no tool spans (not in `with_tools`).

    A call happened after the answer that asked for it; one that is only answered was asked for by another run. What
    the last model call of a failed run asked for and nobody answered was not executed.
    """
    holders = spans.filter(pl.col("counted") & ~pl.col("run").is_in(with_tools.implode()))
    keys = ["batch", "trace_hi", "trace_lo", "span_id"]
    named = parts.rename({c: f"part_{c}" for c in parts.columns if c not in keys}).join(holders, on=keys)
    named = _named_alike(named)
    told = {c: f"part_{c}" for c in ("tool", *HASHES[:4], "args_bytes", "result_bytes")}
    after = pl.when("part_asked").then("duration_ns").otherwise(0)
    calls = (
        named.with_columns(start_ns=pl.col("start_ns") + after)
        .sort(~pl.col("part_asked"), "row")
        .group_by("run", "part_call_hash", maintain_order=True)
        .agg(
            *(pl.first(c) for c in COMMON if c not in ("run", "call_hash")),
            *(pl.col(part).drop_nulls().first().alias(c) for c, part in told.items()),
            pl.col("part_answered").any().alias("answered"),
            pl.col("part_asked").first().alias("asked"),
            pl.col("part_error_reason").drop_nulls().first().alias("failure"),
        )
        .rename({"part_call_hash": "call_hash"})
    )
    models = spans.filter(pl.col("counted") & (pl.col("kind") == "llm.call"))
    last = models.group_by("run").agg(last=pl.col("row").max())
    unheard = pl.col("run").is_in(failed.implode()) & (pl.col("row") >= pl.col("last")).fill_null(True)
    return (
        calls.join(last, on="run", how="left", maintain_order="left")
        .filter(pl.col("asked") & (pl.col("answered") | ~unheard))
        .with_columns(
            kind=pl.lit("tool.call"),
            derived=True,
            aggregate=False,
            status=pl.when(pl.col("failure").is_null()).then(pl.lit("ok")).otherwise(pl.lit("error")),
            error_reason="failure",
            duration_ns=pl.lit(0, pl.Int64),
            args_emitted=False,
            result_emitted=False,
            before=~pl.col("asked"),
        )
        .drop("last", "answered", "asked", "failure")
    )


def _named_alike(parts: pl.DataFrame) -> pl.DataFrame:
    """Of one model response that two instrumentations tell, each tool call has one id: the one that was answered, else
    that of the first of them (the second call of a tool with arguments of one shape is the second in both)."""
    asked = parts.filter("part_asked")
    response = ["run", "response_hash"]
    twice = asked.filter(pl.col("response_hash").is_not_null() & (pl.col("row").n_unique().over(response) > 1))
    if twice.is_empty():
        return parts
    answers = parts.filter("part_answered").select("run", "part_call_hash", answered=True).unique()
    call = [*response, "part_tool", "part_args_shape", "nth"]
    twice = twice.with_columns(nth=pl.int_range(pl.len()).over("row", "part_tool", "part_args_shape"))
    twice = twice.join(answers, on=["run", "part_call_hash"], how="left", maintain_order="left")
    one = twice.select(
        "row",
        "part_call_hash",
        one_call=pl.col("part_call_hash").sort_by("answered", "row", nulls_last=True).first().over(call),
    )
    return (
        parts.join(one, on=["row", "part_call_hash"], how="left", maintain_order="left")
        .with_columns(part_call_hash=pl.coalesce("one_call", "part_call_hash"))
        .drop("one_call")
    )


def _steps(calls: pl.DataFrame) -> pl.DataFrame:
    """Adds `step`, the ordinal of a model call within its run, and `asker`; a tool call is of the step before it."""
    is_model = pl.col("kind") == "llm.call"
    turns = calls.filter(is_model).with_columns(step=pl.int_range(1, pl.len() + 1).over("run").cast(pl.Int32))
    turns = turns.select("run", "agent_row", "row", "step", "start_ns", asker="row").sort("start_ns")
    tools = calls.filter(~is_model).with_columns(
        asked_ns=pl.col("start_ns") - pl.col("before").fill_null(False).cast(pl.Int64)
    )
    tools = _turn_before(tools.sort("asked_ns"), turns, ["run", "agent_row"])
    tools = tools.with_columns(
        any_turn=_turn_before(tools.drop("step", "asker"), turns, ["run"]).select("step", "asker").to_struct()
    )
    of_any = pl.col("any_turn").struct
    near = tools.with_columns(
        step=pl.coalesce("step", of_any.field("step"), pl.lit(0, pl.Int32)),
        asker=pl.coalesce("asker", of_any.field("asker")),
    ).drop("any_turn")
    models = calls.filter(is_model).join(turns.select("row", "step", "asker"), on="row", maintain_order="left")
    return pl.concat([models, near.drop("asked_ns")], how="diagonal").drop("before")


def _turn_before(tools: pl.DataFrame, turns: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Adds step and asker of the latest turn of the same `by` that started before each tool call."""
    turns = turns.select(*by, "step", "asker", asked_ns="start_ns")
    return tools.join_asof(turns, on="asked_ns", by=by, check_sortedness=False)


def _retries(calls: pl.DataFrame) -> pl.DataFrame:
    """Adds `retry`: an attempt after one that failed, as the emitter counts them or, if it does not, where the same
    tool was called with the same arguments just before, by the same agent in the same turn, and failed."""
    tools = calls.filter(pl.col("kind") == "tool.call").sort("run", "agent_row", "start_ns", "row", "call_hash")
    again = pl.all_horizontal(
        pl.col(c).shift() == pl.col(c) for c in ("run", "agent_row", "step", "tool", "args_hash")
    ) & (pl.col("status").shift() == "error")  # fmt: skip
    tools = tools.with_columns(retry=(pl.col("retry_count") > 0).fill_null(again.fill_null(False)))
    models = calls.filter(pl.col("kind") != "tool.call").with_columns(retry=pl.lit(False))
    return pl.concat([models, tools]).sort("run", "start_ns", "row", "call_hash")
