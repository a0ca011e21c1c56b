"""What belongs together: parents within a trace, runs, and the identity that spans inherit. Pure.

A frame of spans is sorted by (trace, ingest tenant, start, span id), so that a span is known by its row. The spans
of one trace that one credential sent are a *part*: tenants who send the same trace id do not meet. Rows that point
at rows are int64 arrays with -1 for none.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import polars as pl

from analytics.echoes import follow_session, quiet_prompts, settle
from analytics.strays import follow_clock, follow_response
from analytics.trees import Mask, Rows, acyclic, nearest, topmost
from collector.semconv import QUARANTINE, Flag

# Fields that a span states itself, or else inherits.
IDENTITY = ("tenant", "user", "session", "client", "run_ref", "environment")
NOT_PLACED = int(Flag.FOREIGN_TENANT | Flag.TIME_ABSURD)


def arrange(spans: pl.DataFrame) -> pl.DataFrame:
    """The spans in order, with row, part, parent and the run that each belongs to.

    Adds `row`, `part`, `parent`, `counted` (no quarantine), `placed` (its place and time can be believed),
    `trace_batch` (first batch of its trace),
    `agent_row` (nearest enclosing agent.run or itself), `leader` (a row that stands for the run), `root` (the run's
    root or -1: it has not come), `inside` (below the root), `closed` (the trace's own root has ended), and `internal`
    and `adopted` of `echoes` and `strays`.
    """
    key = ("trace_hi", "trace_lo", "ingest_tenant")
    spans = spans.sort(*key, "start_ns", "span_id").with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    changes = pl.any_horizontal(pl.col(k).ne_missing(pl.col(k).shift()) for k in key)
    spans = spans.with_columns(
        part=changes.cum_sum().cast(pl.Int64) - changes.first().cast(pl.Int64),
        counted=pl.col("flags") & int(QUARANTINE) == 0,
        placed=pl.col("flags") & NOT_PLACED == 0,
        trace_batch=pl.col("batch").min().over("trace_hi", "trace_lo"),
    )
    owners = spans.select("part", "span_id", parent="row").unique(["part", "span_id"], keep="first")
    spans = spans.join(
        owners, left_on=["part", "parent_id"], right_on=["part", "span_id"], how="left", maintain_order="left"
    )
    parent = acyclic(spans["parent"].fill_null(-1).to_numpy())
    spans = quiet_prompts(spans)
    spans = spans.with_columns(parent=pl.Series(parent), **{k: pl.Series(v) for k, v in _runs(spans, parent).items()})
    return follow_clock(follow_response(follow_session(spans)))


@dataclass(frozen=True)
class _Tops:
    """Which agent.runs are tops of runs (`row` -> leading row), and the root of each part that has none."""

    leader: Rows
    shared: Mask
    whole_root: Rows


def _runs(spans: pl.DataFrame, parent: Rows) -> dict[str, Rows | Mask]:
    """The columns of `arrange` that say which run a span belongs to."""
    row, part = np.arange(len(parent)), spans["part"].to_numpy()
    placed = spans["placed"].to_numpy()
    is_run = (spans["kind"] == "agent.run").to_numpy() & placed
    above = nearest(parent, is_run)
    own = np.where(is_run, row, above)
    top = np.where(own >= 0, topmost(np.where(is_run, above, -1))[own], -1)
    tops = _tops(spans, parent, is_run & (above < 0))

    # a span below a top is of its run; others follow the clock among the tops of their part
    led = np.where(top >= 0, tops.leader[top], -1)
    leaders = np.flatnonzero(tops.leader == row)
    first = np.searchsorted(part, part)
    if len(leaders):
        end = topmost(parent)
        lost = spans["parent_id"].is_not_null().to_numpy()[end] & (parent[end] < 0)
        before = np.searchsorted(leaders, np.where(lost, end, row), side="right") - 1
        before = np.where((before >= 0) & (part[leaders[before]] == part), before, np.searchsorted(part[leaders], part))
        before = np.minimum(before, len(leaders) - 1)
        near = np.where(part[leaders[before]] == part, leaders[before], first)
    else:
        near = first
    leader = np.where(led >= 0, led, near)
    is_top = tops.leader[leader] >= 0
    root = np.where(is_top, np.where(tops.shared[leader], -1, leader), tops.whole_root[part])
    ended_trace = np.zeros(int(part[-1]) + 1 if len(part) else 0, np.bool_)
    ended_trace[part[placed & spans["parent_id"].is_null().to_numpy()]] = True
    return {
        "agent_row": own,
        "leader": leader,
        "root": root,
        "inside": placed & ((root < 0) | ~is_run[root] | (top == root)),
        "closed": ended_trace[part],
    }


def _tops(spans: pl.DataFrame, parent: Rows, candidate: Mask) -> _Tops:
    """The topmost agent.runs that begin a run.

    Those that hang on the trace's root do. Where none does, those whose way up leaves the process (remote parent)
    do, unless some span still waits for a local parent: then an outer run has yet to come, and the part is one run
    with no root; a single agent.run with nothing beside it is taken at its word. agent.runs that wait for the same
    absent parent are one run whose root has not come.
    """
    row, part, end = np.arange(len(parent)), spans["part"].to_numpy(), topmost(parent)
    parts = int(part[-1]) + 1 if len(part) else 0
    is_end = (parent < 0) & spans["placed"].to_numpy()
    missing = spans.select((pl.col("parent_id") != pl.col("span_id")).fill_null(False)).to_series().to_numpy()
    remote = (spans["flags"].to_numpy() & int(Flag.REMOTE_PARENT)) != 0

    def parts_with(mask: Mask) -> Mask:
        return np.bincount(part[mask], minlength=parts) > 0

    rooted = candidate & ~missing[end]
    waiting = parts_with(is_end & missing & ~remote)
    begins = rooted | (candidate & ~(parts_with(rooted) | waiting)[part])
    leader = np.where(begins, row, -1)
    shared = np.zeros(len(parent), np.bool_)
    orphans = np.flatnonzero(begins & missing & (end == row))
    if len(orphans):
        absent = pl.DataFrame({"row": orphans, "part": part[orphans], "id": spans["parent_id"].gather(orphans)})
        absent = absent.with_columns(
            leader=pl.col("row").min().over("part", "id"), shared=pl.len().over("part", "id") > 1
        )
        leader[orphans], shared[orphans] = absent["leader"].to_numpy(), absent["shared"].to_numpy()

    alone = np.bincount(part[is_end], minlength=parts) == 1
    one = np.bincount(part[candidate], minlength=parts) == 1
    none = np.bincount(part[candidate], minlength=parts) == 0
    whole_root = np.full(parts, -1)
    plain = is_end & none[part] & (~missing | (alone[part] & remote))
    for rows in (np.flatnonzero(candidate & (one & alone)[part]), np.flatnonzero(plain)):
        whole_root[part[rows[::-1]]] = rows[::-1]
    return _Tops(leader, shared, whole_root)


def inherit(spans: pl.DataFrame) -> pl.DataFrame:
    """Adds tenant, user, session, client, run_ref, environment, agent and agent_version as each span inherits them.

    From the span, else the nearest agent.run above that has a value, else the resource, else the run (its root,
    else its earliest span that knows). The credential's tenant beats all; a tenant that nobody names is `default`.
    The agent is the nearest enclosing agent.run that has a name.
    """
    row = np.arange(len(spans))
    run_above = nearest(spans["parent"].to_numpy(), (spans["agent_row"] == spans["row"]).to_numpy())
    columns: dict[str, pl.Series | pl.Expr] = {}
    for field in IDENTITY:
        own = spans[f"own_{field}"]
        resource = spans[f"resource_{field}"] if f"resource_{field}" in spans.columns else own
        holder = _own_or_above(own.is_not_null().to_numpy(), run_above)
        holder = np.where((holder < 0) & resource.is_not_null().to_numpy(), row + len(spans), holder)
        holder = _or_of_run(spans, holder, members=True)
        columns[field] = _gather(pl.concat([own, resource]), holder)
    columns["tenant"] = pl.coalesce("ingest_tenant", columns["tenant"], pl.lit("default"))
    named = _or_of_run(spans, _own_or_above(spans["own_agent"].is_not_null().to_numpy(), run_above), members=False)
    for field in ("agent", "agent_version"):
        columns[field] = _gather(spans[f"own_{field}"], named)
    return spans.with_columns(**columns)


def _own_or_above(has: Mask, run_above: Rows) -> Rows:
    holder = np.where(has, np.arange(len(has)), run_above)
    while len(going := np.flatnonzero((holder >= 0) & ~has[holder])):
        holder[going] = holder[holder[going]]
    return holder


def _or_of_run(spans: pl.DataFrame, holder: Rows, *, members: bool) -> Rows:
    """Where no holder was found, that of the run's root, else (`members`) of its earliest span that has one."""
    if not (holder < 0).any():
        return holder
    leader, root = spans["leader"].to_numpy(), spans["root"].to_numpy()
    of_run = np.full(len(holder), -1)
    if members:
        known = np.flatnonzero((holder >= 0) & spans["placed"].to_numpy())[::-1]
        of_run[leader[known]] = holder[known]
    rooted = np.flatnonzero(root >= 0)
    rooted = rooted[holder[root[rooted]] >= 0]
    of_run[leader[rooted]] = holder[root[rooted]]
    return np.where(holder < 0, of_run[leader], holder)


def _gather(values: pl.Series, rows: Rows) -> pl.Series:
    """`values` at `rows`; null where there is no row."""
    return values.gather(pl.Series(rows).set(pl.Series(rows < 0), None))


def number_runs(spans: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Joins runs that share the emitter's run id, names them, and settles what is told twice (`echoes.settle`).

    Returns the spans with `run` (a number) and the runs: `run`, `leader` (of the part in which it began), `root`,
    `closed`, `run_id`, `trace_hi`, `trace_lo`, `run_span`, `trace_ids`. A run with no counted span, or of a coding
    agent's machinery alone, is left out: its spans have a null `run`.
    """
    parts = (
        spans.filter(pl.col("counted") & ~pl.col("internal") & ~pl.col("adopted"))
        .group_by("leader")
        .agg(
            pl.first("part", "ingest_tenant", "trace_hi", "trace_lo", "root", "closed"),
            pl.col("start_ns").min().alias("first_ns"),
            pl.col("run_ref").drop_nulls().first(),
        )
        .sort("first_ns", "trace_hi", "trace_lo", "leader")
        .with_row_index("number")
    )
    root_refs = spans.filter(pl.col("row") == pl.col("root")).select("leader", root_ref="run_ref")
    parts = (
        parts.join(root_refs.unique("leader"), on="leader", how="left", maintain_order="left")
        .with_columns(ref=pl.coalesce("root_ref", "run_ref"))
        .with_columns(
            run=pl.when(pl.col("ref").is_null())
            .then("number")
            .otherwise(pl.col("number").min().over("ingest_tenant", "ref"))
        )
    )
    spans = spans.join(parts.select("leader", "run"), on="leader", how="left", maintain_order="left")
    tenants = spans.group_by("trace_hi", "trace_lo").agg(senders=pl.col("part").n_unique())
    trace_id = hexed(parts["trace_hi"]) + hexed(parts["trace_lo"])
    runs = (
        parts.with_columns(trace_id=trace_id, only=pl.col("run").n_unique().over("part") == 1)
        .sort("number")
        .group_by("run", maintain_order=True)
        .agg(
            pl.first("leader", "root", "closed", "trace_hi", "trace_lo", "ingest_tenant", "only"),
            trace_ids=pl.col("trace_id").unique(maintain_order=True),
        )
        .join(tenants, on=["trace_hi", "trace_lo"], how="left", maintain_order="left")
        .join(_names(spans), on="leader", how="left", maintain_order="left")
    )
    runs = _with_adopted(runs, spans)
    run_id, key = pl.col("trace_ids").list.first(), pl.when("only").then(pl.lit(0, pl.UInt64)).otherwise("name_span")
    runs = runs.with_columns(
        run_id=pl.when("only").then(run_id).otherwise(pl.format("{}-{}", run_id, hexed(runs["name_span"]))),
        run_span=key ^ _sender_keys(runs),
    )
    return settle(spans), runs.drop("only", "senders", "ingest_tenant", "name_span")


def _with_adopted(runs: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """The runs with the traces of the log records that they adopted after their own."""
    adopted = spans.filter("adopted").select("run", "trace_hi", "trace_lo").unique()
    if adopted.is_empty():
        return runs
    adopted = adopted.with_columns(trace_id=hexed(adopted["trace_hi"]) + hexed(adopted["trace_lo"]))
    more = adopted.sort("trace_id").group_by("run").agg(more="trace_id")
    both = pl.col("trace_ids").list.concat(pl.col("more").fill_null([]))
    return runs.join(more, on="run", how="left", maintain_order="left").with_columns(trace_ids=both).drop("more")


def _sender_keys(runs: pl.DataFrame) -> pl.Series:
    """What keeps the keys of runs apart where several tenants sent spans of one trace id; 0 everywhere else."""
    tenants = runs["ingest_tenant"].set(runs["senders"] == 1, None)
    known = tenants.drop_nulls().unique()
    keys = [int.from_bytes(hashlib.blake2b(t.encode(), digest_size=8).digest(), "big") for t in known]
    return tenants.replace_strict(known, pl.Series(keys, dtype=pl.UInt64), default=0, return_dtype=pl.UInt64)


def _names(spans: pl.DataFrame) -> pl.DataFrame:
    """The span id that names a run among several of its trace: its top's, or the absent parent's that tops share."""
    waits = (pl.col("root") < 0) & pl.col("parent_id").is_not_null()
    return spans.filter(pl.col("row") == pl.col("leader")).select(
        "leader", name_span=pl.when(waits).then("parent_id").otherwise("span_id")
    )


def hexed(ids: pl.Series) -> pl.Series:
    """UInt64 ids as 16 hex digits."""
    digits = ids.to_numpy().astype(">u8").tobytes().hex().encode()
    return pl.Series(ids.name, np.frombuffer(digits, "S16").astype("U16"), dtype=pl.String)
