"""How a large report is divided, so that each part is summed in little memory: no group of it is in two parts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from collector.store import Cursor

PART_CALLS = 40_000
"""About how many calls, or groups of calls, a part has."""

_SINGLE = {"session": "session", "user": '"user"', "step": "step"}


@dataclass(frozen=True)
class Part:
    """SQL conditions: which calls a part has, and which runs they belong to."""

    calls: str = "true"
    runs: str = "true"


EVERYTHING, NOTHING = Part(), Part("false", "false")


def parts(c: Cursor, group_by: Sequence[str], from_ns: int, to_ns: int, tz: str = "UTC") -> Iterator[Part]:
    """Parts of the calls that started in [from_ns, to_ns), so that groups by these keys are whole.

    By runs in the order of their start, else by days or hours, each of which the store finds without reading the
    rest; and by a hash of session or user where that is not enough.
    """
    if "run" in group_by:
        yield from _by_runs(c, from_ns, to_ns)
        return
    moments = "hour" if "hour" in group_by else "day" if "day" in group_by else None
    single = next((column for key, column in _SINGLE.items() if key in group_by and key != "step"), None)
    for begin, end, calls in _times(c, moments, from_ns, to_ns, tz):
        during = f"start_ns >= {begin} AND start_ns < {end}"
        count = 1
        if single and calls > PART_CALLS:
            told = [_SINGLE[key] for key in group_by if key in _SINGLE]
            groups = f"SELECT approx_count_distinct(({', '.join((*told, 'call_group'))})) FROM calls WHERE {during}"
            count = _parted(_one(c, groups)[0], 2 * PART_CALLS)  # each part reads the calls again
        for number in range(count):
            yield Part(during if count == 1 else f"{during} AND hash({single}) % {count} = {number}")


def _by_runs(c: Cursor, from_ns: int, to_ns: int) -> Iterator[Part]:
    """Runs in the order of their first span; calls of a run start between that and its end."""
    of_period = f"FROM runs WHERE ended_ns >= {from_ns} AND first_ns < {to_ns}"
    count = _parted(_one(c, f"SELECT coalesce(sum(llm_calls + tool_calls), 0) {of_period}")[0], PART_CALLS)
    cuts: list[int] = []
    if count > 1:
        shares = [number / count for number in range(1, count)]
        cuts = sorted({int(cut) for cut in _one(c, f"SELECT approx_quantile(first_ns, {shares}) {of_period}")[0]})
    for begin, end in zip([None, *cuts], [*cuts, None], strict=True):
        edges = [f"first_ns >= {begin}"] if begin is not None else []
        edges += [f"first_ns < {end}"] if end is not None else []
        runs = " AND ".join([*edges, f"ended_ns >= {from_ns} AND first_ns < {to_ns}"])
        first, last = _one(c, f"SELECT min(first_ns), max(ended_ns) FROM runs WHERE {runs}")
        if first is not None:
            named = f"(trace_hi, trace_lo, run_span) IN (SELECT (trace_hi, trace_lo, run_span) FROM runs WHERE {runs})"
            yield Part(f"start_ns >= {max(first, from_ns)} AND start_ns <= {min(last, to_ns - 1)} AND {named}", runs)


def _times(c: Cursor, key: str | None, from_ns: int, to_ns: int, tz: str) -> list[tuple[int, int, int]]:
    """Begin, end and calls of periods that together are [from_ns, to_ns): of days or hours as many as a part may
    have, at least one."""
    if key is None:
        during = "start_ns >= $from_ns AND start_ns < $to_ns"
        calls = c.execute(f"SELECT count(*) FROM calls WHERE {during}", {"from_ns": from_ns, "to_ns": to_ns}).fetchall()
        return [(from_ns, to_ns, calls[0][0])]
    asked = {"from_ns": from_ns, "to_ns": to_ns, "tz": tz, "key": key}
    found: list[tuple[int, int, int]] = []
    for first, last, calls in c.execute(_MOMENTS, asked).fetchall():
        if found and (found[-1][2] + calls <= PART_CALLS or first < found[-1][1]):
            begin, end, before = found.pop()
            found.append((begin, max(end, last + 1), before + calls))
        else:
            found.append((first, last + 1, calls))
    return found


_MOMENTS = """
WITH quarters AS (
    SELECT start_ns // 900000000000 AS quarter, min(start_ns) AS first, max(start_ns) AS last, count(*) AS calls
    FROM calls
    WHERE start_ns >= $from_ns AND start_ns < $to_ns
    GROUP BY ALL
)
SELECT min(first), max(last), sum(calls)::BIGINT
FROM quarters
GROUP BY date_trunc($key, make_timestamp(quarter * 900000000) AT TIME ZONE 'UTC' AT TIME ZONE $tz)
ORDER BY 1
"""


def _parted(size: int, most: int) -> int:
    return max(1, -(-int(size) // most))


def _one(c: Cursor, sql: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = c.execute(sql).fetchall()[0]
    return row
