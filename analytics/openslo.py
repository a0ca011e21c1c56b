"""SLO files: OpenSLO v1 YAML with the metric source `type: spanledger` -> `analytics.slo.Slo`.

A ratioMetric counts events of one source and states which are good (or bad) by a filter; a
thresholdMetric compares a measure of each event with the objective's `op` and `value`. Format:
https://github.com/OpenSLO/OpenSLO (v1); docs/slo.md says what is supported.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from analytics.calendars import DAY_MINUTES, UNITS, Calendar, is_zone
from analytics.slo import Condition, Op, Pair, Slo, minutes_of, profiles, scaled_pairs, unreachable
from analytics.slo_events import SOURCES
from collector.errors import ConfigError

IGNORED_KINDS = ("DataSource", "Service", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
OPS = ("lt", "lte", "gt", "gte")
T = TypeVar("T")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NOTES = "spanledger/"  # prefix of our own annotations
_UNGROUPABLE = ("session",)


class _Place:
    """A value of a file together with where it stands, so that every complaint can name it."""

    def __init__(self, value: Any, document: str, key: str = "") -> None:
        self.value, self.document, self.key = value, document, key

    def wrong(self, remedy: str) -> ConfigError:
        shown = repr(self.value)
        return ConfigError(f"{self.document}: {self.key} = {shown[:80]}: {remedy}")

    def get(self, key: str, default: Any = None) -> "_Place":
        return _Place(self.mapping().get(key, default), self.document, f"{self.key}.{key}".lstrip("."))

    def mapping(self) -> Mapping[str, Any]:
        if not isinstance(self.value, Mapping):
            raise self.wrong("must be a mapping of keys to values")
        return self.value

    def items(self) -> list["_Place"]:
        if not isinstance(self.value, list):
            raise self.wrong("must be a list")
        return [_Place(v, self.document, f"{self.key}[{i}]") for i, v in enumerate(self.value)]

    def text(self, default: str | None = None) -> str:
        value = default if self.value is None else self.value
        if not isinstance(value, str) or (not value and default is None):
            raise self.wrong("must be a text")
        return value

    def number(self) -> float:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("must be a number")
        return float(self.value)

    def one_of(self, choices: Sequence[str]) -> str:
        if self.value not in choices:
            raise self.wrong(f"must be one of {', '.join(choices)}")
        return str(self.value)


def load(folder: Path) -> tuple[Slo, ...]:
    """Every SLO of the `*.yaml` and `*.yml` files of `folder`, by name; none where the folder is missing.

    Raises ConfigError with one line a problem: file, document, key, value, remedy.
    """
    problems: list[str] = []
    documents: list[_Place] = []
    for path in sorted(p for p in folder.glob("*.y*ml") if p.suffix in (".yaml", ".yml")):
        try:
            documents += list(_documents(path))
        except ConfigError as e:
            problems.append(str(e))
    indicators: dict[str, _Place] = {}
    for document in documents:
        if document.get("kind").value == "SLI" and (name := _try(partial(_name, document), problems)):
            indicators[name] = document.get("spec")
    slos: dict[str, Slo] = {}
    for document in documents:
        if document.get("kind").value == "SLO" and (slo := _try(partial(_slo, document, indicators), problems)):
            if slo.name in slos:
                problems.append(str(document.get("metadata").get("name").wrong("is taken: every SLO needs its own")))
            slos[slo.name] = slo
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(slos[name] for name in sorted(slos))


def _try(read: Callable[[], T], problems: list[str]) -> T | None:
    try:
        return read()
    except ConfigError as e:
        problems.append(str(e))
        return None


def _documents(path: Path) -> Iterator[_Place]:
    """The documents of a file, their kind and version checked."""
    try:
        loaded = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path}: cannot be read ({e}): make it a readable UTF-8 file") from None
    except yaml.YAMLError as e:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(e).split())}") from None
    for number, value in enumerate((v for v in loaded if v is not None), 1):
        place = _Place(value, f"{path}, document {number}")
        place.get("apiVersion").one_of(["openslo/v1"])
        place.get("kind").one_of(["SLO", "SLI", *IGNORED_KINDS])
        yield place


def _name(document: _Place) -> str:
    name = document.get("metadata").get("name")
    if not isinstance(name.value, str) or not _NAME.fullmatch(name.value):
        raise name.wrong("must be 1 to 63 lower-case letters, digits or '-', as in run-success")
    return name.value


def _slo(document: _Place, indicators: Mapping[str, _Place]) -> Slo:
    name = _name(document)
    document = _Place(document.value, f"{document.document} ({name})")
    metadata, spec = document.get("metadata"), document.get("spec")
    notes = _notes(metadata)
    if (method := spec.get("budgetingMethod")).value not in (None, "Occurrences"):
        raise method.wrong("only Occurrences is supported: every event counts once")
    objectives = spec.get("objectives").items()
    if len(objectives) != 1:
        raise spec.get("objectives").wrong("must hold exactly one objective: write one SLO for each target")
    objective = _objective(objectives[0])
    period, calendar = _period(spec.get("timeWindow"))
    source, conditions, good, negated, threshold, groups = _indicator(_find_indicator(spec, indicators), objectives[0])
    return Slo(
        name=name,
        title=metadata.get("displayName").text(name),
        description=spec.get("description").text(""),
        service=spec.get("service").text(""),
        source=source,
        filter=conditions,
        good=good,
        negated=negated,
        threshold=threshold,
        group_by=groups,
        objective=objective,
        period_minutes=period,
        calendar=calendar,
        pairs=_pairs(notes.get(_NOTES + "windows"), objective, objectives[0], period),
        min_events=_whole(notes.get(_NOTES + "min-events"), 10),
        min_bad=_whole(notes.get(_NOTES + "min-bad"), 2),
        team=_optional(notes.get("team")),
        severity=_optional(notes.get("severity")),
        runbook_url=_url(notes.get("runbook_url")),
    )


def _notes(metadata: _Place) -> _Place:
    """Labels and annotations together: OpenSLO's labels cannot hold URLs, so either place does."""
    merged = {**metadata.get("annotations", {}).mapping(), **metadata.get("labels", {}).mapping()}
    known = ("windows", "min-events", "min-bad")
    for key in merged:
        if str(key).startswith(_NOTES) and str(key).removeprefix(_NOTES) not in known:
            place = _Place(merged[key], metadata.document, f"metadata.annotations.{key}")
            raise place.wrong(f"is not known; there are {', '.join(_NOTES + k for k in known)}")
    return _Place(merged, metadata.document, "metadata.annotations")


def _optional(place: _Place) -> str | None:
    if isinstance(place.value, list):
        place = _Place(place.value[0] if place.value else None, place.document, place.key)
    return None if place.value is None else place.text()


def _url(place: _Place) -> str | None:
    if (url := _optional(place)) and not url.startswith(("https://", "http://")):
        raise place.wrong("must be an address that begins with https:// or http://")
    return url


def _whole(place: _Place, default: int) -> int:
    if place.value is None:
        return default
    if not str(place.value).isdigit() or int(place.value) < 1:
        raise place.wrong("must be a whole number from 1")
    return int(place.value)


def _objective(objective: _Place) -> float:
    target, percent = objective.get("target"), objective.get("targetPercent")
    if (target.value is None) == (percent.value is None):
        raise target.wrong("give either target (0.99) or targetPercent (99)")
    value = target.number() if percent.value is None else round(percent.number() / 100, 12)
    if not 0 < value < 1:
        place = target if percent.value is None else percent
        raise place.wrong("must be above 0 and below 100 %, for example target: 0.99; 100 % leaves no budget at all")
    return value


def _period(windows: _Place) -> tuple[int, Calendar | None]:
    """The usual minutes of the period, and its calendar unless it rolls."""
    rows = windows.items()
    if len(rows) != 1:
        raise windows.wrong("must hold exactly one window, as in [{duration: 30d, isRolling: true}]")
    duration, rolling, aligned = (rows[0].get(key) for key in ("duration", "isRolling", "calendar"))
    if aligned.value is not None:
        if rolling.value:
            raise rolling.wrong("a window either rolls or follows a calendar: leave out one of the two")
        calendar = _calendar(duration, aligned)
        return calendar.usual_minutes, calendar
    if rolling.value is not True:
        raise rolling.wrong("set isRolling: true, or give a calendar with startTime and timeZone")
    try:
        minutes = minutes_of(str(duration.value))
    except ValueError as e:
        raise duration.wrong(str(e)) from None
    if not 1440 <= minutes <= 400 * 1440:
        raise duration.wrong("must be from 1d to 400d: below a day the windows would be shorter than a minute")
    return minutes, None


def _calendar(duration: _Place, aligned: _Place) -> Calendar:
    parts = re.fullmatch(r"([1-9]\d?)([a-zA-Z])", str(duration.value), re.ASCII)
    if not parts or parts[2] not in UNITS:
        raise duration.wrong(f"write a whole number and one of {', '.join(UNITS)}, as in 1M for a month")
    start, zone = aligned.get("startTime"), aligned.get("timeZone")
    try:
        begin = datetime.fromisoformat(str(start.value))
    except ValueError:
        raise start.wrong("write when a period begins, without an offset, as in 2026-01-01 00:00:00") from None
    if begin.tzinfo is not None or begin.second or begin.microsecond or begin.day > 28:
        raise start.wrong("must be a whole minute without an offset, on one of the days 1 to 28 that every month has")
    if not is_zone(zone.value):
        raise zone.wrong("is not a time zone: use a name of the IANA database, such as Europe/Rome")
    calendar = Calendar(int(parts[1]), parts[2], begin, zone.value)
    if calendar.usual_minutes > 400 * DAY_MINUTES:
        raise duration.wrong("must be at most 400 days long")
    return calendar


def _find_indicator(spec: _Place, indicators: Mapping[str, _Place]) -> _Place:
    inline, reference = spec.get("indicator"), spec.get("indicatorRef")
    if (inline.value is None) == (reference.value is None):
        raise inline.wrong("give either indicator or indicatorRef")
    if inline.value is not None:
        return inline.get("spec")
    if reference.value not in indicators:
        raise reference.wrong(f"no document of kind SLI has this name; there are {', '.join(indicators) or 'none'}")
    return indicators[reference.value]


_Indicator = tuple[str, tuple[Condition, ...], tuple[Condition, ...], bool, bool, tuple[str, ...]]


def _indicator(spec: _Place, objective: _Place) -> _Indicator:
    """Source, filter, good, negated, threshold and group_by of an indicator."""
    ratio, threshold = spec.get("ratioMetric"), spec.get("thresholdMetric")
    if (ratio.value is None) == (threshold.value is None):
        raise ratio.wrong("an indicator needs either ratioMetric or thresholdMetric")
    if threshold.value is not None:
        query = _query(threshold, ("events", "filter", "group_by", "measure"))
        source = query.get("events").one_of(list(SOURCES))
        measure = query.get("measure").one_of(list(SOURCES[source].measures))
        op, limit = objective.get("op").one_of(OPS), objective.get("value")
        limit.number()
        under = (Condition(measure, cast(Op, op), (str(limit.value),)),)
        return source, _conditions(query.get("filter"), source), under, False, True, _groups(query, source)
    negated = ratio.get("good").value is None
    part = ratio.get("bad" if negated else "good")
    if part.value is None or ratio.get("total").value is None or not (negated or ratio.get("bad").value is None):
        raise part.wrong("a ratioMetric needs total and either good or bad")
    total, chosen = _query(ratio.get("total"), ("events", "filter", "group_by")), _query(part, ("events", "filter"))
    source = total.get("events").one_of(list(SOURCES))
    chosen.get("events").one_of([source])
    good = _conditions(chosen.get("filter"), source)
    if not good:
        raise chosen.get("filter").wrong("must say which events of total these are, as in {status: ok}")
    return source, _conditions(total.get("filter"), source), good, negated, False, _groups(total, source)


def _query(metric: _Place, keys: Sequence[str]) -> _Place:
    """The free part of a metricSource, which is ours."""
    source = metric.get("metricSource")
    source.get("type").one_of(["spanledger"])
    query = source.get("spec")
    for key in query.mapping():
        if key not in keys:
            raise query.get(key).wrong(f"is not known here; there are {', '.join(keys)}")
    return query


def _conditions(place: _Place, source: str) -> tuple[Condition, ...]:
    """A filter: column to text, to a list of texts, to {not: ...} or, for a measure, to {lt|lte|gt|gte: number}."""
    texts, measures = SOURCES[source].texts, SOURCES[source].measures
    found = []
    for column, value in ({} if place.value is None else place.mapping()).items():
        here = place.get(column)
        if column in texts:
            op: Any = "in"
            if isinstance(value, Mapping) and list(value) == ["not"]:
                op, here = "not_in", here.get("not")
            values = here.value if isinstance(here.value, list) else [here.value]
            if not values or not all(isinstance(v, str) and v for v in values):
                raise here.wrong("must be a text, a list of texts or {not: ...}; put numbers in quotes")
            found.append(Condition(column, op, tuple(values)))
        elif column in measures:
            for op in here.mapping():
                if op not in OPS:
                    raise here.get(op).wrong(f"compare a measure with one of {', '.join(OPS)}")
                here.get(op).number()
                found.append(Condition(column, op, (str(here.get(op).value),)))
        else:
            raise here.wrong(f"{source} have no such column; there are {', '.join([*texts, *measures])}")
    return tuple(found)


def _groups(query: _Place, source: str) -> tuple[str, ...]:
    place = query.get("group_by", [])
    columns = [c for c in SOURCES[source].texts if c not in (*_UNGROUPABLE, "status", "error_reason", "pricing")]
    groups = tuple(p.one_of(columns) for p in place.items())
    if len(set(groups)) != len(groups):
        raise place.wrong("names a column twice")
    return groups


def _pairs(profile: _Place, objective: float, place: _Place, period_minutes: int) -> tuple[Pair, ...]:
    known = profiles()
    name = _Place(profile.value or "workbook", profile.document, profile.key).one_of(list(known))
    pairs = scaled_pairs(known[name], period_minutes)
    if dead := unreachable(pairs, objective):
        worst = max(dead, key=lambda p: p.factor)
        fitting = [n for n, row in known.items() if not unreachable(scaled_pairs(row, period_minutes), objective)]
        advice = f", or set the annotation {_NOTES}windows to {' or '.join(fitting)}" if fitting else ""
        raise place.get("target" if "target" in place.mapping() else "targetPercent").wrong(
            f"windows {', '.join(p.name for p in dead)} of '{name}' can never fire: with every event bad the burn is "
            f"{1 / (1 - objective):.3g}, and {worst.name} needs more than {worst.factor:g}. "
            f"Set an objective above {100 * (1 - 1 / worst.factor):.4g} %{advice}"
        )
    return pairs
