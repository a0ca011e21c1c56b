"""Findings: what went wrong in runs, with the spans that prove it and the money it wasted."""

from typing import Any

from typing_extensions import TypedDict

from analytics.reports import listings
from analytics.reports.listings import Lag
from analytics.reports.periods import EVER_NS
from analytics.reports.values import BadQuestion, hex_id, moment, trace_of, usd
from collector.store import Store

SEVERITIES = ("high", "medium", "low")


class Finding(TypedDict):
    """One finding. `occurrences` counts what was repeated, `subject` is the tool or model it is about."""

    finding_id: str
    run_id: str
    tenant: str
    agent: str | None
    rule: str
    severity: str
    evidence: str
    span_ids: list[str]
    subject: str | None
    occurrences: int
    wasted_usd: str
    started_at: str
    ended_at: str
    sentence: str
    action: str


class Findings(TypedDict):
    """A page of findings, newest first."""

    items: list[Finding]
    next_cursor: str | None
    as_of: str
    lag: Lag


def list_findings(
    store: Store,
    now_ns: int,
    *,
    from_ns: int = EVER_NS[0],
    to_ns: int = EVER_NS[1],
    limit: int = 50,
    cursor: str | None = None,
    **filters: str | None,
) -> Findings:
    """Findings that began in [from_ns, to_ns), newest first. `filters`: rule, severity, tenant, agent, run.

    Raises BadQuestion.
    """
    listings.require_limit(limit)
    if (severity := filters.get("severity")) and severity not in SEVERITIES:
        raise BadQuestion("severity", f"{severity!r} is not a severity: use {', '.join(SEVERITIES)}")
    after_ns, after_id = listings.place_of(cursor, int, str)
    trace_hi, trace_lo = trace_of((filters.get("run") or "").lower()) or (0, 0)
    params = dict.fromkeys(("rule", "severity", "tenant", "agent", "run")) | filters
    params |= {"trace_hi": trace_hi, "trace_lo": trace_lo}
    page = {"from_ns": from_ns, "to_ns": to_ns, "limit": limit + 1, "after_ns": after_ns, "after_id": after_id}
    with listings.reading(store) as c:
        found = listings.rows(c, "findings", params | page)
        last = found[limit - 1] if len(found) > limit else None
        return {
            "items": [_finding(row) for row in found[:limit]],
            "next_cursor": listings.bookmark(last["started_ns"], last["finding_id"]) if last else None,
            **listings.currency(c, now_ns),
        }


def _finding(row: dict[str, Any]) -> Finding:
    values = row | {
        "span_ids": [hex_id(span) for span in row["span_ids"]],
        "wasted_usd": usd(row["wasted_pusd"]),
        "started_at": moment(row["started_ns"]),
        "ended_at": moment(row["ended_ns"]),
    }
    return {name: values[name] for name in Finding.__annotations__}  # type: ignore[return-value]
