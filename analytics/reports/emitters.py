"""How emitters speak: per dialect how much is understood, and what their telemetry lacks, told rather than hidden."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import TypedDict

from analytics.gaps import known_gaps
from analytics.reports import listings
from collector.store import Cursor

FEW = 5
"""So many calls tell nothing yet about what an emitter never sends."""

Row = Mapping[str, Any]


class Dialect(TypedDict):
    """What came in one dialect. Spans by arrival, by kind and by how sure their mapping is (`exact`, `assumed`, `none`:
    kept as other); `usage_assumed`: the emitter does not say whether its input tokens hold the cached ones. Model calls
    by their start; the three kinds of them add up. `sums_told`: runs whose topmost span tells token sums, of which
    `sums_differing` are not those of the calls."""

    dialect: str
    spans: int
    kinds: dict[str, int]
    exact: int
    assumed: int
    none: int
    late: int
    quarantined: int
    sampled: int
    usage_assumed: int
    model_calls: int
    priced_calls: int
    unpriced_calls: int
    unknown_calls: int
    sums_told: int
    sums_differing: int


class Defect(TypedDict):
    """What an emitter (an instrumentation scope of a version) leaves out or gets wrong: `items` of so many (`of`).
    `evidence`: `counted` in what it sent, or `known` from captures whose truth was recorded: then `items` are the spans
    that it concerns."""

    dialect: str
    scope: str
    scope_version: str | None
    defect: str
    evidence: str
    items: int
    of: int
    sentence: str


@dataclass(frozen=True)
class Check:
    """A defect: the counts that show it, and what it means for the numbers. `always`: only where all have it."""

    name: str
    items: str
    of: str
    sentence: str
    always: bool = False


CHECKS = (
    Check("no_usage", "without_usage", "answered",
          "{items:,} of {of:,} answered model calls carry no token counts: what they cost is unknown, not zero"),
    Check("no_cached_tokens", "cache_untold", "cacheable",
          "none of {of:,} model calls with 1,024 or more input tokens says how many came from a cache: if the provider "
          "cached any, these calls cost less than shown", always=True),
    Check("usage_assumed", "usage_assumed", "used",
          "{items:,} of {of:,} model calls do not tell whether input tokens include cached ones: the usual reading is "
          "assumed"),
    Check("sums_differ", "differing", "told",
          "in {items:,} of {of:,} runs the sum that the topmost span tells is not the sum of the calls: calls are "
          "missing, or the emitter counts otherwise; totals are sums of calls"),
    Check("clock_backwards", "clock_backwards", "spans",
          "{items:,} of {of:,} spans end before they begin: their durations count as zero"),
    Check("attributes_dropped", "attributes_dropped", "spans",
          "{items:,} of {of:,} spans have more attributes than are kept: some fields may be missing"),
    Check("sampled", "sampled", "spans",
          "{items:,} of {of:,} spans say that others were not sent: totals over them are partial"),
)  # fmt: skip


def emitters(c: Cursor, calls: Sequence[Row]) -> tuple[list[Dialect], list[Defect]]:
    """Dialects by name, and defects: those that were counted before those that are known, the most frequent first.

    The cursor knows what arrived in the period as `arrivals()` and `checks`. `calls`: what started then, by
    dialect at least.
    """
    sent, sums = listings.rows(c, "emitters", {}), listings.rows(c, "emitter_sums", {})
    return _dialects(sent, sums, calls), _defects(sent, sums)


def _dialects(sent: Iterable[Row], sums: Iterable[Row], calls: Iterable[Row]) -> list[Dialect]:
    found: dict[str, dict[str, Any]] = {}

    def of(name: str) -> dict[str, Any]:
        zero = dict.fromkeys(Dialect.__annotations__, 0)
        return found.setdefault(name, zero | {"dialect": name, "kinds": defaultdict(int)})

    for row in sent:
        dialect = of(row["dialect"])
        dialect["kinds"][row["kind"]] += int(row["spans"])
        dialect[row["mapping"]] += int(row["spans"])
        for name in ("spans", "late", "quarantined", "sampled", "usage_assumed"):
            dialect[name] += int(row[name])
    for row in sums:
        of(row["dialect"])["sums_told"] += row["told"]
        of(row["dialect"])["sums_differing"] += row["differing"]
    for row in calls:
        dialect = of(row["dialect"])
        dialect["model_calls"] += int(row["llm_calls"] or 0)
        for name in ("priced_calls", "unpriced_calls", "unknown_calls"):
            dialect[name] += int(row[name] or 0)
    return [found[name] | {"kinds": dict(found[name]["kinds"])} for name in sorted(found)]  # type: ignore[misc]


def _defects(sent: Sequence[Row], sums: Iterable[Row]) -> list[Defect]:
    """One look at each emitter with each check and for each known gap; an emitter's rows are added up."""
    counts: dict[tuple[Any, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    kinds: dict[tuple[Any, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in (*sent, *sums):
        emitter = row["dialect"], row["scope"], row["scope_version"]
        for name, value in row.items():
            if isinstance(value, int):
                counts[emitter][name] += value
    for row in sent:
        kinds[row["dialect"], row["scope"], row["scope_version"]][row["kind"]] += int(row["spans"])
    found: list[Defect] = []
    for emitter, count in counts.items():
        counted = list(_counted(count))
        told = {name for name, *_ in counted}
        known = _known(emitter, count, kinds[emitter], told)
        found += (_defect(emitter, *defect) for defect in (*counted, *known))
    return sorted(found, key=lambda d: (d["evidence"], -d["items"], d["dialect"], d["scope"], d["defect"]))


def _defect(emitter: tuple[Any, ...], name: str, evidence: str, items: int, of: int, said: str) -> Defect:
    dialect, scope, version = emitter
    known: Defect = {
        "dialect": dialect,
        "scope": scope,
        "scope_version": version,
        "defect": name,
        "evidence": evidence,
        "items": items,
        "of": of,
        "sentence": said,
    }
    return known


def _counted(count: dict[str, int]) -> Iterator[tuple[str, str, int, int, str]]:
    """The checks that an emitter's counts do not pass."""
    count["cache_untold"] = 0 if count["cache_told"] or count["cacheable"] < FEW else count["cacheable"]
    for check in CHECKS:
        items, of = count[check.items], count[check.of]
        if items and (items == of or not check.always):
            said = check.sentence.format(items=items, of=of)
            yield check.name, "counted", items, of, f"{said[0].upper()}{said[1:]}."


def _known(
    emitter: tuple[Any, ...], count: dict[str, int], kinds: dict[str, int], told: set[str]
) -> Iterator[tuple[str, str, int, int, str]]:
    """The known gaps of an emitter, where spans that they concern arrived, but those that counting has `told`."""
    _, scope, version = emitter
    for gap in known_gaps():
        if kinds[gap.kind] and gap.counted_as not in told and gap.shows(scope, version, count):
            yield "known_gap", "known", kinds[gap.kind], kinds[gap.kind], gap.sentence
