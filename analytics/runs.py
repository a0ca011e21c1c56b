"""One row a run: who, when, how it ended, and what its spans and calls add up to. Pure."""

import polars as pl

from analytics.cost import run_costs
from collector.semconv import KINDS, Flag

SILENCE_NS = 600 * 10**9  # without a root a run counts as running until nothing arrived for so long

BATCH_NS = 10**6  # a batch is numbered by the millisecond of its arrival
INHERITED = ("tenant", "user", "session", "client", "environment", "service", "service_version", "dialect")


def judge(spans: pl.DataFrame, runs: pl.DataFrame, now_ns: int) -> pl.DataFrame:
    """The runs with `status`, `due_ns` (when the clock alone changes it), `arrived_ns` and what the root says.

    A root that came decides: `error` if its own status is, else `ok`; errors below that it handled do not count. An
    agent.run that names no agent is only a wrapper around the agents in it: it ended as the last of them did.
    Without one a run is `running` for ten minutes after its last arrival, then `incomplete` if the trace's own root
    has ended (the process went on without it), else `stuck`.
    """
    last = spans.filter("counted").group_by("run").agg(arrived_ns=pl.col("batch").max() * BATCH_NS)
    roots = spans.select(
        root="row",
        root_name="name",
        root_status="status",
        root_reason="error_reason",
        root_start_ns="start_ns",
        wrapper=(pl.col("kind") == "agent.run") & pl.col("own_agent").is_null(),
    )
    agents = spans.filter((pl.col("kind") == "agent.run") & pl.col("own_agent").is_not_null() & pl.col("counted"))
    ended = agents.sort(_end_ns(), "row").group_by("run").agg(last_status=pl.last("status"))
    came, due_ns = pl.col("root") >= 0, pl.col("arrived_ns") + SILENCE_NS
    return (
        runs.join(last, on="run", how="left", maintain_order="left")
        .join(roots, on="root", how="left", maintain_order="left")
        .join(ended, on="run", how="left", maintain_order="left")
        .with_columns(
            root_status=pl.when("wrapper").then(pl.coalesce("last_status", "root_status")).otherwise("root_status")
        )
        .with_columns(
            status=pl.when(came)
            .then(pl.when(pl.col("root_status") == "error").then(pl.lit("error")).otherwise(pl.lit("ok")))
            .when(now_ns < due_ns)
            .then(pl.lit("running"))
            .when("closed")
            .then(pl.lit("incomplete"))
            .otherwise(pl.lit("stuck")),
            due_ns=pl.when(~came & (now_ns < due_ns)).then(due_ns),
        )
        .drop("wrapper", "last_status")
    )


def summarise(spans: pl.DataFrame, runs: pl.DataFrame, calls: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """The rows of the table `runs`, from judged runs and their spans, calls and findings."""
    found = findings.group_by("run").agg(findings=pl.len())
    quarantined = _quarantined(spans)
    called, cost = _of_calls(calls), run_costs(calls)
    counts = [c for part in (found, quarantined, called, cost) for c in part.columns]
    counts = [c for c in counts if c not in ("run", "reported_pusd", "first_call_ns", "last_call_ns")]
    for part in (_of_spans(spans), called, cost, found, quarantined):
        runs = runs.join(part, on="run", how="left", maintain_order="left")
    no_calls = pl.col("priced_calls").is_null()
    money = ("cost_pusd", "booked_pusd")
    return runs.with_columns(
        *(pl.col(c).fill_null(0) for c in counts if c not in money),
        *(pl.when(no_calls).then(0).otherwise(c).alias(c) for c in money),
        started_ns=pl.coalesce("root_start_ns", "first_ns"),
        ended_ns=pl.max_horizontal("ended_ns", "last_call_ns", "root_start_ns"),
        first_ns=pl.min_horizontal("first_ns", "first_call_ns", "root_start_ns"),
        root_name=pl.coalesce("root_name", "first_name"),
        error_reason=pl.when(pl.col("status") == "error").then(pl.coalesce("root_reason", "last_reason")),
    )


def _end_ns() -> pl.Expr:
    """When a span ended; a clock that went backwards does not end it before it began."""
    return pl.max_horizontal("start_ns", pl.col("start_ns") + pl.col("duration_ns"))


def _of_spans(spans: pl.DataFrame) -> pl.DataFrame:
    """Who and when, by run. A run's identity is its root's, else that of its earliest span."""
    spans = spans.filter("counted").with_columns(is_root=pl.col("row") == pl.col("root"), end_ns=_end_ns())
    below = (pl.col("kind") == "agent.run") & ~pl.col("is_root") & (pl.col("own_agent").is_not_null())
    who = {c: pl.coalesce(pl.col(c).filter("is_root").first(), pl.col(c).first()) for c in INHERITED}
    return spans.group_by("run").agg(
        *(value.alias(c) for c, value in who.items()),
        *(pl.col(c).filter("is_root").first() for c in ("agent", "agent_version")),
        agents=pl.col("own_agent").filter(below).unique(maintain_order=True),
        first_name=pl.col("name").filter(~pl.col("name").is_in(KINDS)).first(),
        first_ns=pl.col("start_ns").min(),
        ended_ns=pl.coalesce(pl.col("end_ns").filter("inside").max(), pl.col("end_ns").max()),
        spans=pl.len(),
        policy_checks=(pl.col("kind") == "policy.check").sum(),
        policy_denials=((pl.col("kind") == "policy.check") & (pl.col("decision") == "deny")).sum(),
        sampled=(pl.col("flags") & int(Flag.SAMPLED) != 0).any(),
        last_reason=pl.col("error_reason").sort_by("end_ns", "row").drop_nulls().last(),
    )


def _of_calls(calls: pl.DataFrame) -> pl.DataFrame:
    """Counts of calls by run. A step is a model call with the tool calls that follow it."""
    model, tool = pl.col("kind") == "llm.call", pl.col("kind") == "tool.call"
    return calls.group_by("run").agg(
        steps=pl.col("step").max(),
        llm_calls=model.sum(),
        llm_errors=(model & (pl.col("status") == "error")).sum(),
        tool_calls=tool.sum(),
        tool_errors=(tool & (pl.col("status") == "error")).sum(),
        tool_denied=(tool & (pl.col("status") == "denied")).sum(),
        derived_tool_calls=(tool & pl.col("derived")).sum(),
        retries=pl.col("retry").sum(),
        first_call_ns=pl.col("start_ns").min(),
        last_call_ns=_end_ns().max(),
    )


def _quarantined(spans: pl.DataFrame) -> pl.DataFrame:
    """How many spans of a run's parts are left out of every total, and the batch that first brought its traces."""
    return (
        spans.filter(pl.col("run").is_not_null())
        .group_by("run")
        .agg(quarantined=(~pl.col("counted")).sum(), first_batch=pl.col("trace_batch").min())
    )
