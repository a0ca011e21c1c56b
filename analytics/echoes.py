"""What coding agents tell twice: the spans made of their log records beside their own spans. Pure.

A log record is an echo where a span of the same run tells the same; what only the echo knows goes to the span. Spans
beat records, because they know what is around them.
"""

import polars as pl

from analytics.trees import nearest
from collector.semconv import QUARANTINE, TOKENS, Flag

# Dialects that trace their own machinery: a trace of nothing else is no run.
CODING_AGENTS = ("claude-code", "codex", "gemini-cli")
# Dialects with spans about agents, messages, and protocols between them that are no runs either.
MACHINERY = (*CODING_AGENTS, "autogen", "mcp", "genai-messages")
# What is said of an agent before it runs.
_PREPARATION = r"^create_agent\b"
# How OpenLLMetry names MCP's handshakes and streams.
_PROTOCOL = r"\.mcp$|Stream(?:Reader|Writer)$"
# Of these the log records name the session, but neither trace nor turn: they follow the clock among its runs.
BY_SESSION = ("codex",)
# Of these the log records of tool calls do not name the call: the second record of a tool is its second call.
BY_TOOL = ("gemini-cli",)

_FROM_LOG = pl.col("flags") & int(Flag.FROM_LOG) != 0
_COUNTED = pl.col("flags") & int(QUARANTINE) == 0
_ACTS = ["llm.call", "tool.call"]
# What a span may leave to its echo, beside tokens, and the failure and the model that answered if only the echo tells.
_TOLD = (
    "model", "request_model", "provider", "reported_pusd", "tool_server", "args_bytes", "result_bytes",
    "args_hash", "args_shape", "paging", "result_hash",
)  # fmt: skip
# What the spans and the echo of one model call have in common: the response, else its input.
_SAME = ("response_hash", "input_tokens")


def logged(spans: pl.DataFrame) -> bool:
    """Whether any of the spans was made of a log record."""
    return bool(spans.select(_FROM_LOG.any()).item())


def quiet_prompts(spans: pl.DataFrame) -> pl.DataFrame:
    """Adds `internal`: the span's part holds nothing but the machinery of an agent, or its making. And the event that
    begins a run gives way (kind `other`) to the agent's own spans, and to any agent.run, in its part.

    Needs `part`.
    """
    coding, idle = pl.col("dialect").is_in(CODING_AGENTS), pl.col("kind") == "other"
    protocol = (pl.col("dialect") == "openllmetry") & pl.col("name").str.contains(_PROTOCOL)
    machinery = idle & (pl.col("dialect").is_in(MACHINERY) | pl.col("name").str.contains(_PREPARATION) | protocol)
    if not spans.select((coding | machinery).any()).item():
        return spans.with_columns(internal=False)
    spans = spans.with_columns(internal=machinery.all().over("part"))
    own = ~_FROM_LOG & ((pl.col("kind") == "agent.run") | (coding & ~idle))
    gives_way = _FROM_LOG & (pl.col("kind") == "agent.run") & own.any().over("part")
    return spans.with_columns(kind=pl.when(gives_way).then(pl.lit("other")).otherwise("kind"))


def follow_session(spans: pl.DataFrame) -> pl.DataFrame:
    """Gives log records that name neither trace nor turn to the latest run of their session that had begun (else to
    its first): `leader` and `root` are that run's. Adds `adopted`, true for these.

    Needs `row`, `part`, `leader`, `root`, `internal`. A part that has an agent.run of its own keeps its records.
    """
    spans = spans.with_columns(adopted=False)
    if not logged(spans):
        return spans
    lost = _FROM_LOG & pl.col("dialect").is_in(BY_SESSION) & pl.col("own_run_ref").is_null()
    loose = spans.filter(lost.all().over("part") & (pl.col("kind") != "agent.run").all().over("part"))
    if loose.is_empty():
        return spans
    session = pl.coalesce("own_session", "resource_session")
    keys = ["sender", "session"]
    begun = (
        spans.join(loose.select("part").unique(), on="part", how="anti", maintain_order="left")
        .filter(_COUNTED & ~pl.col("internal"))
        .group_by("leader")
        .agg(
            pl.first("ingest_tenant", "root"),
            session.drop_nulls().first().alias("session"),
            begun_ns=pl.col("start_ns").min(),
        )
        .filter(pl.col("session").is_not_null())
        .select(sender=pl.col("ingest_tenant").fill_null(""), session="session", leader="leader", root="root",
                begun_ns="begun_ns")
        .sort("begun_ns", "leader")
    )  # fmt: skip
    seeking = loose.select(
        "row", sender=pl.col("ingest_tenant").fill_null(""), session=session, begun_ns="start_ns"
    ).sort("begun_ns")
    before, after = (
        seeking.join_asof(begun, on="begun_ns", by=keys, strategy=how, check_sortedness=False).select(
            "row", pl.col("leader").alias(f"{how}_leader"), pl.col("root").alias(f"{how}_root")
        )
        for how in ("backward", "forward")
    )
    led = before.join(after, on="row").select(
        "row",
        new_leader=pl.coalesce("backward_leader", "forward_leader"),
        new_root=pl.when(pl.col("backward_leader").is_not_null()).then("backward_root").otherwise("forward_root"),
    )
    return (
        spans.join(led, on="row", how="left", maintain_order="left")
        .with_columns(
            leader=pl.coalesce("new_leader", "leader"),
            root=pl.coalesce("new_root", "root"),
            adopted=pl.col("new_leader").is_not_null(),
        )
        .drop("new_leader", "new_root")
    )


def settle(spans: pl.DataFrame) -> pl.DataFrame:
    """Echoes become `other`, and the spans that they repeat know what they knew.

    A model call repeats one with the same response, or, where no response is named, the same input (the second such
    record the second such call); a tool call one with the same call id; a policy check the one around it. Needs `run`,
    `row`, `parent`.
    """
    spans = _models_from_around(spans)
    if not logged(spans):
        return spans
    model = pl.col("kind") == "llm.call"
    named = model & pl.col("response_hash").is_not_null()
    by_tool = ~model & pl.col("dialect").is_in(BY_TOOL)
    acts = (
        spans.filter(pl.col("run").is_not_null() & _COUNTED & (model | by_tool | pl.col("call_hash").is_not_null()))
        .filter(pl.col("kind").is_in(_ACTS))
        .with_columns(
            from_log=_FROM_LOG,
            same_call=pl.when(~model & ~by_tool).then("call_hash"),
            same_tool=pl.when(by_tool).then("tool"),
            same_response_hash=pl.when(model).then("response_hash"),
            **{f"same_{c}": pl.when(model & ~named).then(c) for c in _SAME[1:]},
        )
    )
    key = ["run", "kind", "same_call", "same_tool", *(f"same_{c}" for c in _SAME)]
    acts = acts.with_columns(nth=pl.int_range(pl.len()).over(*key, "from_log", order_by=["start_ns", "row"]))
    echoes = acts.filter("from_log").select(
        *key, "nth", echo="row", told=pl.struct("status", "error_reason", *_TOLD, *TOKENS)
    )
    pairs = (
        acts.filter(~pl.col("from_log")).join(echoes, on=[*key, "nth"], nulls_equal=True).select("row", "echo", "told")
    )
    told = pl.col("told").struct
    admitted = (pl.col("status") == "ok") & told.field("status").is_in(["error", "denied"])
    around = spans["kind"].gather(spans["parent"].set(spans["parent"] < 0, None))
    repeated = spans["row"].is_in(pairs["echo"].implode()) | (
        spans.select(_FROM_LOG & (pl.col("kind") == "policy.check")).to_series() & (around == "policy.check")
    ).fill_null(False)
    return (
        spans.join(pairs.drop("echo"), on="row", how="left", maintain_order="left")
        .with_columns(
            *(pl.coalesce(c, told.field(c)) for c in _TOLD[1:]),
            *(pl.max_horizontal(c, told.field(c)) for c in TOKENS),  # whoever leaves a part out has the smaller total
            model=pl.when(pl.col("model") == pl.col("request_model"))
            .then(pl.coalesce(told.field("model"), "model"))
            .otherwise(pl.coalesce("model", told.field("model"))),
            kind=pl.when(repeated).then(pl.lit("other")).otherwise("kind"),
            status=pl.when(admitted).then(told.field("status")).otherwise("status"),
            error_reason=pl.when(admitted).then(told.field("error_reason")).otherwise("error_reason"),
        )
        .drop("told")
    )


def _models_from_around(spans: pl.DataFrame) -> pl.DataFrame:
    """Coding agents name the model on the spans around a call where the call itself does not."""
    call = pl.col("dialect").is_in(CODING_AGENTS) & (pl.col("kind") == "llm.call") & pl.col("model").is_null()
    nameless = spans.select(call.fill_null(False)).to_series()
    if not nameless.any():
        return spans
    around = pl.Series(nearest(spans["parent"].to_numpy(), spans["model"].is_not_null().to_numpy()))
    model = spans["model"].gather(around.set(around < 0, None))
    return spans.with_columns(model=pl.when(nameless).then(model).otherwise("model"))
