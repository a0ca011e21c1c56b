"""Runs: the list and one of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import TypedDict

from analytics.reports import listings
from analytics.reports.listings import Currency, Lag
from analytics.reports.periods import EVER_NS
from analytics.reports.values import BadQuestion, milliseconds, moment, trace_of, usd
from collector.store import Cursor, Store

STATUSES = ("ok", "error", "running", "stuck", "incomplete")


class Run(TypedDict):
    """One run. Money is a decimal string in USD or None, `findings` and `spans` are counts.

    `duration_ms` of a run that has not ended reaches to the latest end seen. `name` is what its topmost span is
    called, `quarantined` counts spans outside every total, `sampled` says that not all spans were sent.
    """

    run_id: str
    trace_id: str
    trace_ids: list[str]
    agent: str | None
    agents: list[str]
    agent_version: str | None
    tenant: str
    user: str | None
    session: str | None
    environment: str | None
    service: str | None
    status: str
    started_at: str
    duration_ms: float
    steps: int
    llm_calls: int
    llm_errors: int
    tool_calls: int
    tool_errors: int
    policy_denials: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: str | None
    booked_usd: str | None
    reported_usd: str | None
    wasted_usd: str
    priced_calls: int
    unpriced_calls: int
    unknown_calls: int
    findings: int
    name: str | None
    error_reason: str | None
    service_version: str | None
    dialect: str | None
    spans: int
    tool_denied: int
    derived_tool_calls: int
    retries: int
    policy_checks: int
    avoided_usd: str
    priced_tokens: int
    quarantined: int
    sampled: bool


class Runs(TypedDict):
    """A page of runs, newest first."""

    items: list[Run]
    next_cursor: str | None
    as_of: str
    lag: Lag


class OneRun(Run, Currency):
    """A run and how current it is."""


NEWEST = (5_000, 100_000)
_FILTERS = (
    "run_id", "tenant", "agent", "user", "session", "environment", "service", "model", "tool", "rule",
    "min_cost_pusd", "q",
)  # fmt: skip
_PLACES = ("statuses", "any_rule", "after_ns", "after_id", "trace_hi", "trace_lo", "since_ns")


def list_runs(
    store: Store,
    now_ns: int,
    *,
    from_ns: int = EVER_NS[0],
    to_ns: int = EVER_NS[1],
    limit: int = 50,
    cursor: str | None = None,
    status: str | Sequence[str] | None = None,
    **filters: str | int | None,
) -> Runs:
    """Runs that started in [from_ns, to_ns), newest first.

    `filters`: tenant, agent, user, session, environment, service; model, tool (of one of its calls); rule (of one
    of its findings, or "any"); min_cost_pusd; q (beginning of the run id, or part of a name). Raises BadQuestion.
    """
    listings.require_limit(limit)
    statuses = [status] if isinstance(status, str) else list(status or ())
    if unknown := set(statuses) - set(STATUSES):
        raise BadQuestion("status", f"{min(unknown)!r} is not a status: use {', '.join(STATUSES)}")
    after_ns, after_id = listings.place_of(cursor, int, str)
    if filters.get("rule") == "any":
        filters |= {"rule": None, "any_rule": True}
    page = {"statuses": statuses or None, "after_ns": after_ns, "after_id": after_id, "limit": limit + 1}
    with listings.reading(store) as c:
        found = _newest(c, filters | page | {"from_ns": from_ns, "to_ns": to_ns})
        last = found[limit - 1] if len(found) > limit else None
        return {
            "items": [_run(row) for row in found[:limit]],
            "next_cursor": listings.bookmark(last["started_ns"], last["run_id"]) if last else None,
            **listings.currency(c, now_ns),
        }


def run(store: Store, run_id: str, now_ns: int) -> OneRun | None:
    """The run with that id; None if there is none (or the jobs have not made it yet)."""
    with listings.reading(store) as c:
        trace_hi, trace_lo = trace_of(run_id.lower()) or (0, 0)
        found = _select(c, {"run_id": run_id.lower(), "trace_hi": trace_hi, "trace_lo": trace_lo, "limit": 1})
        return {**_run(found[0]), **listings.currency(c, now_ns)} if found else None


def _newest(c: Cursor, params: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer to the query, whose page usually lies among the newest runs: with a model or a tool, calls of few runs
    are looked at before those of all."""
    if params.get("model") or params.get("tool"):
        for runs in NEWEST:
            bounds = {name: params[name] for name in ("to_ns", "after_ns")}
            (since,) = listings.rows(c, "newest_runs", bounds | {"runs": runs})
            found = _select(c, params | since)
            if len(found) == params["limit"] or since["since_ns"] is None:
                return found
    return _select(c, params | {"first_ns": EVER_NS[0]})


def _select(c: Cursor, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    everything = dict.fromkeys((*_FILTERS, *_PLACES))
    bounds = {"from_ns": EVER_NS[0], "to_ns": EVER_NS[1]}
    return listings.rows(c, "runs", everything | bounds | dict(params))


def _run(row: dict[str, Any]) -> Run:
    known = Run.__annotations__
    money = {k.replace("_pusd", "_usd"): usd(v) for k, v in row.items() if k.endswith("_pusd")}
    values = (
        row
        | money
        | {
            "trace_id": row["trace_ids"][0],
            "name": row["root_name"],
            "started_at": moment(row["started_ns"]),
            "duration_ms": milliseconds(row["ended_ns"] - row["started_ns"]),
        }
    )
    return {name: values[name] for name in known}  # type: ignore[return-value]
