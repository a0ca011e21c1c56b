"""What an SLO is, and the arithmetic of burn rates and error budgets. Pure.

burn = (bad / (good + bad)) / (1 - objective), over the events of the last w whole minutes, the current
minute included: 1 means that exactly the budget is used up over the period. Counts are traffic weighted
(sum of bad over sum of all), never an average of ratios.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import polars as pl
import yaml

from analytics.calendars import Calendar

MINUTE_NS = 60 * 10**9
MINUTES = {"m": 1, "h": 60, "d": 1440, "w": 10_080}

Op = Literal["in", "not_in", "lt", "lte", "gt", "gte"]


@dataclass(frozen=True)
class Condition:
    """One test of one column of a source (`analytics.slo_events.SOURCES`); text with `*` is a pattern."""

    column: str
    op: Op
    values: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """A long and a short window that must both burn faster than `factor`, for `for_minutes`."""

    severity: str
    long_minutes: int
    short_minutes: int
    factor: float
    for_minutes: int = 0

    @property
    def name(self) -> str:
        """The pair as people say it: `1h/5m`."""
        return f"{minutes_text(self.long_minutes)}/{minutes_text(self.short_minutes)}"


@dataclass(frozen=True)
class Slo:
    """One objective over the events of a source.

    An event passes `filter`, and is good where it passes `good` (`negated`: where it does not).
    `threshold`: `good` compares a measure, so events whose measure is not known are left out.
    A pair counts only from `min_events` events and `min_bad` bad ones in its long window. With a `calendar` the
    period is that of the calendar, which grows until it ends, and `period_minutes` is its usual length.
    """

    name: str
    title: str
    description: str
    service: str
    source: str
    filter: tuple[Condition, ...]
    good: tuple[Condition, ...]
    negated: bool
    threshold: bool
    group_by: tuple[str, ...]
    objective: float
    period_minutes: int
    pairs: tuple[Pair, ...]
    calendar: Calendar | None = None
    min_events: int = 10
    min_bad: int = 2
    team: str | None = None
    severity: str | None = None
    runbook_url: str | None = None

    @property
    def pair_windows(self) -> tuple[int, ...]:
        """The windows of its pairs in minutes, rising."""
        return tuple(sorted({w for p in self.pairs for w in (p.long_minutes, p.short_minutes)}))

    @property
    def kept_minutes(self) -> int:
        """How far back its events are needed."""
        return self.calendar.longest_minutes if self.calendar else self.period_minutes

    @property
    def period_text(self) -> str:
        """The period as people write it: `30d`, `month (Europe/Rome)`."""
        return str(self.calendar) if self.calendar else minutes_text(self.period_minutes)

    def period(self, now_ns: int) -> tuple[int, int]:
        """First minute of the period, and the first one after it; a rolling period ends with the current minute."""
        minute = now_ns // MINUTE_NS
        return self.calendar.period(minute) if self.calendar else (minute + 1 - self.period_minutes, minute + 1)

    def elapsed_minutes(self, now_ns: int) -> int:
        """Minutes of the period until now, the current one included."""
        return now_ns // MINUTE_NS + 1 - self.period(now_ns)[0]


def minutes_of(text: str) -> int:
    """Minutes of a duration such as 5m, 6h, 28d, 4w. Raises ValueError for anything else."""
    number, unit = text[:-1], text[-1:]
    if not number.isdigit() or not number.isascii() or unit not in MINUTES or int(number) == 0:
        raise ValueError("write a whole number and m, h, d or w, as in 30d")
    return int(number) * MINUTES[unit]


def minutes_text(minutes: int) -> str:
    """A window as people write it: 5m, 6h, 3d, 70m."""
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


def profiles() -> dict[str, Any]:
    """The shipped window profiles (`data/burn_windows.yml`) by name."""
    text = resources.files("analytics").joinpath("data/burn_windows.yml").read_text()
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def scaled_pairs(profile: dict[str, Any], period_minutes: int) -> tuple[Pair, ...]:
    """The pairs of a profile for an SLO's own period; windows are rounded up to whole minutes."""
    base = minutes_of(profile["period"])

    def scale(text: str) -> int:
        return math.ceil(minutes_of(text) * period_minutes / base) if text != "0m" else 0

    return tuple(
        Pair(row["severity"], scale(row["long"]), scale(row["short"]), float(row["factor"]), scale(row["for"]))
        for row in profile["pairs"]
    )


def unreachable(pairs: Sequence[Pair], objective: float) -> list[Pair]:
    """Pairs that can never fire: with every event bad, the burn is 1 / (1 - objective)."""
    return [p for p in pairs if p.factor * (1 - objective) >= 1 - 1e-9]


def burns(counts: pl.DataFrame, slo: Slo) -> pl.DataFrame:
    """Add `events` and `burn` (null without events) to the window counts of one SLO.

    `counts`: one row a series and window with `good` and `bad`.
    """
    events = pl.col("good") + pl.col("bad")
    ratio = pl.when(events > 0).then(pl.col("bad") / events)
    return counts.with_columns(events.alias("events"), (ratio / (1 - slo.objective)).alias("burn"))


def breaches(burning: pl.DataFrame, slo: Slo) -> pl.DataFrame:
    """The series and pairs that breach now.

    `burning`: of `burns`, with the key columns `series` and `window_minutes`. Returns one row a breach with
    `series, pair` (index in `slo.pairs`), `long_burn, short_burn`.
    """
    pairs = pl.LazyFrame(
        [(i, p.long_minutes, p.short_minutes, p.factor) for i, p in enumerate(slo.pairs)],
        schema={"pair": pl.Int64, "long": pl.Int32, "short": pl.Int32, "factor": pl.Float64},
        orient="row",
    )
    enough = (pl.col("events") >= slo.min_events) & (pl.col("bad") >= slo.min_bad)
    windows = burning.lazy().select("series", "window_minutes", "burn", enough=enough)
    return (
        pairs.join(windows, left_on="long", right_on="window_minutes")
        .rename({"burn": "long_burn"})
        .join(windows.drop("enough"), left_on=["series", "short"], right_on=["series", "window_minutes"])
        .rename({"burn": "short_burn"})
        .filter("enough", pl.col("long_burn") > pl.col("factor"), pl.col("short_burn") > pl.col("factor"))
        .select("series", "pair", "long_burn", "short_burn")
        .sort("series", "pair")
        .collect()
    )


def budget_left(good: int, bad: int, objective: float) -> float | None:
    """Share of the error budget that is left over the period: 1 untouched, below 0 overspent; None: no events."""
    if good + bad == 0:
        return None
    return 1 - bad / ((good + bad) * (1 - objective))


def exhaustion_minutes(left: float | None, burn: float | None, slo: Slo, now_ns: int) -> float | None:
    """In how many minutes the budget is gone, should events go on to come and to fail as they do now.

    `left`: of `budget_left`. `burn`: the pace now, None where nothing happened lately. None: not before the period
    ends, or not known; 0: it is gone. A rolling period forgets what is old, so that its budget is as large as
    `left` x period: it lasts that long at a burn of 1. In a calendar period nothing is forgotten and every event adds
    to the budget as well: with e events so far, l of their budget left, and r = e / elapsed a minute to come, it is
    gone when l e + r t = r t burn.
    """
    if left is None or burn is None or burn <= 1:
        return 0.0 if left is not None and left < 1e-9 else None
    if slo.calendar is None:
        return max(0.0, left) * slo.period_minutes / burn
    minutes = max(0.0, left) * slo.elapsed_minutes(now_ns) / (burn - 1)
    return minutes if minutes < slo.period(now_ns)[1] - now_ns / MINUTE_NS else None


def outlook(left: float | None, burn: float | None, slo: Slo, now_ns: int) -> str:
    """Budget and pace in words: "at this rate the budget is gone in 7 h"; the parameters of `exhaustion_minutes`."""
    if left is None:
        return "no events yet"
    if left < -1:
        return f"the budget is spent {1 - left:.0f} times over"
    if left < 0:
        return f"the budget is overspent by {-left:.0%}"
    if left < 1e-9:
        return "the budget is gone"
    if burn is None:
        return "no events lately; the budget lasts"
    if burn <= 0:
        return "nothing is burning; the budget lasts"
    minutes = exhaustion_minutes(left, burn, slo, now_ns)
    if minutes is None:
        return "at this rate the budget lasts the period"
    return f"at this rate the budget is gone in {_rough(minutes)}"


def _rough(minutes: float) -> str:
    """A time span with the one unit that matters."""
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes >= 1.95 * size:
            return f"{minutes / size:.0f} {unit}"
    return f"{max(1, round(minutes))} min"
