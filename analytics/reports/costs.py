"""What calls cost, by any combination of group keys. Every grouping adds up to the same total, to the last digit."""

from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta, timezone
from typing import Any

from typing_extensions import TypedDict

from analytics import cost_bins
from analytics.owned_calls import NO_OWNERS, name_owners
from analytics.owners import OwnerMap
from analytics.reports import listings
from analytics.reports.listings import Lag
from analytics.reports.parts import EVERYTHING, Part
from analytics.reports.periods import EVER_NS, require_zone
from analytics.reports.values import BadQuestion, trace_of, usd
from collector.store import Cursor, Store

# Keys that a call shares with all calls of its description, and those of its own with the columns of the query.
DESCRIBED = (
    "agent", "agent_version", "service", "service_version", "tenant", "environment", "provider", "model",
    "tool_server", "tool", "dialect",
)  # fmt: skip
OF_CALL = {
    "run": ("run_hi", "run_lo", "run_root"),
    "step": ("step",),
    "user": ("user",),
    "session": ("session",),
    "day": ("day",),
    "hour": ("hour", "offset_minutes"),
    "owner": ("owner",),
}
GROUP_KEYS = (
    "run", "step", "agent", "agent_version", "service", "service_version", "tenant", "user", "session",
    "environment", "provider", "model", "tool_server", "tool", "owner", "day", "hour", "dialect",
)  # fmt: skip
FILTERS = (*DESCRIBED, "user", "session", "run", "step", "owner")


class CostTotal(TypedDict):
    """Sums over calls. `runs`: distinct runs among them. A model call has no tool and a tool call no model.

    `cost_usd` and `booked_usd` are None where there are model calls and nothing is priced, `reported_usd` where no
    runtime reported a cost. Priced, unpriced and unknown calls add up to `llm_calls`.
    """

    runs: int
    llm_calls: int
    llm_errors: int
    tool_calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: str | None
    booked_usd: str | None
    reported_usd: str | None
    wasted_usd: str
    avoided_usd: str
    priced_calls: int
    unpriced_calls: int
    unknown_calls: int
    priced_tokens: int


class CostRow(CostTotal, total=False):
    """The sums of one group, with the group keys that were asked for; None where calls have no such value."""

    run: str | None
    step: int | None
    agent: str | None
    agent_version: str | None
    service: str | None
    service_version: str | None
    tenant: str | None
    user: str | None
    session: str | None
    environment: str | None
    provider: str | None
    model: str | None
    tool_server: str | None
    tool: str | None
    owner: str | None
    day: str
    hour: str
    dialect: str | None


class Costs(TypedDict):
    """A page of groups, by day and hour, then dearest first; `total` is over all groups, whatever the page."""

    items: list[CostRow]
    total: CostTotal
    next_cursor: str | None
    as_of: str
    lag: Lag


def list_costs(
    store: Store,
    now_ns: int,
    *,
    group_by: Sequence[str] = (),
    from_ns: int = EVER_NS[0],
    to_ns: int = EVER_NS[1],
    tz: str = "UTC",
    limit: int = 1000,
    cursor: str | None = None,
    owners: OwnerMap = NO_OWNERS,
    **filters: str | None,
) -> Costs:
    """Calls that started in [from_ns, to_ns), summed by `group_by` (any of GROUP_KEYS), days and hours in `tz`.

    `filters`: FILTERS, each an exact value. `owners` says whose each call is; what it leaves out has the owner None: it
    is unallocated.
    Raises BadQuestion.
    """
    listings.require_limit(limit)
    after = listings.place_of(cursor, str, str, str)
    page = dict(zip(("after_moment", "after_cheap", "after_place"), after, strict=True)) | {"limit": limit + 1}
    with listings.reading(store) as c:
        asked = prepare(c, group_by, from_ns, to_ns, tz, owners, filters)
        total, *found = listings.rows(c, "costs", asked | page)
        last = found[limit - 1] if len(found) > limit else None
        return {
            "items": [{**keys_of(row, group_by), **sums_of(row)} for row in found[:limit]],  # type: ignore[typeddict-item]
            "total": sums_of(total),
            "next_cursor": listings.bookmark(last["moment"], str(last["cheap"]), last["place"]) if last else None,
            **listings.currency(c, now_ns),
        }


def groups(c: Cursor, *question: Any, **options: Any) -> Any:
    """All groups of a question as `prepare` takes it, in any order: a relation, `answer` of the query `costs`.

    Raises BadQuestion.
    """
    return _part(c, "page", "SELECT * EXCLUDE (is_total, place) FROM answer", prepare(c, *question, **options))


def dearest(c: Cursor, limit: int, group_by: Sequence[str], *question: Any, **options: Any) -> Part:
    """The part `only` of `prepare`: calls of the runs, else the sessions, of the `limit` dearest groups. All groups of
    many million calls need more memory than there is. `run` or `session` is a key. Raises BadQuestion."""
    asked = prepare(c, group_by, *question, **options)
    c.register("dearest", _part(c, "sums", _DEAREST, asked | {"limit": limit}).to_arrow_table())
    if "run" in group_by:
        these = "(trace_hi, trace_lo, run_span) IN (SELECT (run_hi, run_lo, run_root) FROM dearest)"
        return Part(these, these)
    return Part("coalesce(session, '') IN (SELECT coalesce(session, '') FROM dearest)", "true")


_DEAREST = """
SELECT COLUMNS(lambda c: list_contains(getvariable('columns'), c)), sum(cost_pusd) AS cost_pusd
FROM picked GROUP BY ALL ORDER BY cost_pusd DESC NULLS LAST LIMIT $limit
"""


def _part(c: Cursor, until: str, then: str, params: Mapping[str, Any]) -> Any:
    """The query `costs` as far as before one of its parts, and another end of it: a relation."""
    begun = listings.query("costs").partition(f"{until} AS (")[0].rstrip().rstrip(",")
    sql, known = listings.asked(f"{begun}\n{then}", params)
    return c.sql(sql, params=known)


def prepare(
    c: Cursor,
    group_by: Sequence[str],
    from_ns: int,
    to_ns: int,
    tz: str,
    owners: OwnerMap,
    filters: Mapping[str, str | None],
    *,
    split_ns: int | None = None,
    with_runs: bool = True,
    only: Part = EVERYTHING,
) -> dict[str, Any]:
    """Make the cursor ready for the query `costs`, and give the parameters of its question, not those of its page.

    `split_ns` parts each group into calls before and from then on (column `before`). Without the number of runs most
    questions are answered from sums instead of calls. `only` names the part
    of the calls to sum. Raises BadQuestion.
    """
    if unknown := [key for key in group_by if key not in GROUP_KEYS]:
        raise BadQuestion("group_by", f"{unknown[0]!r} is not a group key: use {', '.join(GROUP_KEYS)}")
    if unknown := [key for key in filters if key not in FILTERS]:
        raise BadQuestion(unknown[0], f"costs cannot be filtered by {unknown[0]}: use {', '.join(FILTERS)}")
    require_zone(c, tz)
    whose = "owner" in group_by or filters.get("owner") is not None
    name_owners(c, owners if whose else None)
    columns = [column for key in group_by for column in OF_CALL.get(key, ())]
    columns += ["number"] if split_ns is None else ["number", "before"]
    c.execute("SET VARIABLE columns = ?", [columns])
    asked = _exact(c, from_ns, to_ns, filters)
    singles = any(key in OF_CALL and key not in ("day", "hour") for key in group_by)
    singles = singles or any(filters.get(key) is not None for key in ("user", "session", "run", "step", "owner"))
    local = tz != "UTC" and not {"day", "hour"}.isdisjoint(group_by)
    hourly = "hour" in group_by
    periods = [(from_ns, to_ns)] if split_ns is None else [(from_ns, split_ns), (split_ns, to_ns)]
    bins = None if with_runs or singles or local else cost_bins.rows_sql(c, periods, hourly=hourly)
    rows = bins or f"{cost_bins.CALLS} WHERE {only.calls}"
    c.execute(f"CREATE OR REPLACE TEMP MACRO cost_rows() AS TABLE {rows}")
    described = "WHERE call_group IN (SELECT call_group FROM cost_rows())" if bins else ""
    if asked["trace_hi"] is not None:
        within = "start_ns >= {from_ns} AND start_ns < {to_ns} AND trace_hi = {trace_hi} AND trace_lo = {trace_lo}"
        described = f"WHERE call_group IN (SELECT call_group FROM calls WHERE {within.format(**asked)})"
    c.execute(f"CREATE OR REPLACE TEMP MACRO cost_groups() AS TABLE SELECT * FROM call_groups {described}")
    runs = f"SELECT trace_hi, trace_lo, run_span, run_id FROM runs WHERE {only.runs if 'run' in group_by else 'false'}"
    c.execute(f"CREATE OR REPLACE TEMP MACRO cost_runs() AS TABLE {runs}")
    keys = [key for key in (*DESCRIBED, "day", "hour") if key in group_by]
    return asked | {"keys": keys, "tz": tz, "split_ns": split_ns, "with_runs": with_runs}


_RUN = """
SELECT trace_hi, trace_lo, run_span, first_ns, ended_ns + 1 FROM runs
WHERE trace_hi = ? AND trace_lo = ? AND run_id = ?
"""


def _exact(c: Cursor, from_ns: int, to_ns: int, filters: Mapping[str, str | None]) -> dict[str, Any]:
    """The filters as parameters of the query; a run becomes its key, its time bounds the period (`from_ns`, `to_ns`),
    and one that does not exist matches nothing."""
    params: dict[str, Any] = dict.fromkeys((*FILTERS, "trace_hi", "trace_lo", "run_span")) | dict(filters)
    params |= {"from_ns": from_ns, "to_ns": to_ns}
    run_id, step = params.pop("run"), params["step"]
    if step is not None and not (str(step).isdecimal() and len(str(step)) < 10):
        raise BadQuestion("step", "step is not a whole number")
    if run_id is not None:
        names = ("trace_hi", "trace_lo", "run_span", "first_ns", "end_ns")
        found = c.execute(_RUN, [*(trace_of(run_id.lower()) or (0, 0)), run_id.lower()]).fetchall()
        run = dict(zip(names, found[0] if found else (0,) * 5, strict=True))
        params["from_ns"], params["to_ns"] = max(from_ns, run.pop("first_ns")), min(to_ns, run.pop("end_ns"))
        params |= run
    return params | {"step": None if step is None else int(step)}


def keys_of(row: Mapping[str, Any], group_by: Sequence[str]) -> dict[str, str | int | None]:
    """The group keys of a row of the query as a cost row tells them."""
    return {key: _text(key, row) for key in dict.fromkeys(group_by)}


def _text(key: str, row: Mapping[str, Any]) -> str | int | None:
    if key == "day":
        return str(row["day"])
    if key == "hour":
        offset = timedelta(minutes=row["offset_minutes"])
        local = row["hour"].replace(tzinfo=UTC).astimezone(timezone(offset))
        return str(local.isoformat()) if offset else f"{row['hour']:%Y-%m-%dT%H:%M:%S}Z"
    value: str | int | None = row[key]
    return value


def sums_of(row: Mapping[str, Any]) -> CostTotal:
    """The sums of a row of the query as a cost row tells them."""
    calls = row["llm_calls"] or 0
    values: dict[str, Any] = {name: int(row[name] or 0) for name in CostTotal.__annotations__ if name in row}
    for name in ("cost", "booked", "reported", "wasted", "avoided"):
        pusd = row[f"{name}_pusd"]
        unknown = name == "reported" or (name in ("cost", "booked") and calls)
        values[f"{name}_usd"] = usd(pusd if unknown else pusd or 0)
    return {name: values[name] for name in CostTotal.__annotations__}  # type: ignore[return-value]
