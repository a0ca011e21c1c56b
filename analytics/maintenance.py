"""`maintenance.toml`: planned work, whose events are in no budget and raise no alert. They are shown beside the others.

What the file says is recorded as it changes (table `maintenance_log`, append-only): who reads a budget later sees
which windows were declared, when, and why; also those that were declared afterwards or taken back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import polars as pl

from analytics.slo import Slo
from collector.errors import ConfigError
from collector.settings import read_toml
from collector.store import Cursor

_KEYS = ("from", "to", "reason", "by", "slos")
PLANNED = pl.Schema({"slo": pl.String, "first_minute": pl.Int32, "end_minute": pl.Int32})


@dataclass(frozen=True, order=True)
class Maintenance:
    """A window of planned work, [first_minute, end_minute) since 1970, of the SLOs whose names match one of `slos`."""

    first_minute: int
    end_minute: int
    reason: str
    by: str = ""
    slos: tuple[str, ...] = ("*",)

    def covers(self, slo: str) -> bool:
        """Whether the events of this SLO are left out."""
        return any(fnmatchcase(slo, pattern) for pattern in self.slos)


def load(path: Path) -> tuple[Maintenance, ...]:
    """The windows of the file; none where it is missing. Raises ConfigError naming entry, key and remedy."""
    if not path.is_file():
        return ()
    table = read_toml(path)
    rows = table.get("window", [])
    if list(table) not in ([], ["window"]) or not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise ConfigError(f"{path}: must hold tables under [[window]] and nothing else")
    return tuple(sorted(_window(row, f"{path}: window[{i}]") for i, row in enumerate(rows)))


def _window(row: dict[str, Any], place: str) -> Maintenance:
    if unknown := [key for key in row if key not in _KEYS]:
        raise ConfigError(f"{place}.{unknown[0]}: is not known; there are {', '.join(_KEYS)}")
    first, end = _minute(row, "from", place), _minute(row, "to", place)
    if first >= end:
        raise ConfigError(f"{place}.to = {row['to']}: must be after from")
    reason, by, slos = row.get("reason"), row.get("by", ""), row.get("slos", ["*"])
    if not isinstance(reason, str) or not reason.strip():
        raise ConfigError(f'{place}.reason: say why, as in "database upgrade, change 4711"')
    if not isinstance(by, str):
        raise ConfigError(f"{place}.by = {by!r}: must be a name")
    if not isinstance(slos, list) or not slos or not all(isinstance(s, str) and s for s in slos):
        raise ConfigError(f'{place}.slos = {slos!r}: must be a list of names of SLOs, as in ["run-success", "tool-*"]')
    return Maintenance(first, end, reason.strip(), by, tuple(slos))


def _minute(row: dict[str, Any], key: str, place: str) -> int:
    time = row.get(key)
    if not isinstance(time, datetime) or time.tzinfo is None or time.second or time.microsecond:
        remedy = "must be a whole minute with its offset, as in 2026-11-20T22:00:00Z"
        raise ConfigError(f"{place}.{key} = {time}: {remedy}")
    return int(time.timestamp()) // 60


def planned(windows: Sequence[Maintenance], slos: Sequence[Slo]) -> pl.DataFrame:
    """One row a window and SLO that it covers (PLANNED)."""
    rows = [(slo.name, w.first_minute, w.end_minute) for w in windows for slo in slos if w.covers(slo.name)]
    return pl.DataFrame(rows, schema=PLANNED, orient="row")


def record(cursor: Cursor, windows: Sequence[Maintenance], now_ns: int) -> None:
    """Note in `maintenance_log` what was declared or withdrawn since the last time."""
    known = {_of_row(*row) for row in cursor.execute(_IN_FORCE).fetchall()}
    for change, changed in (("withdrawn", known - set(windows)), ("declared", set(windows) - known)):
        for w in sorted(changed):
            row = [now_ns, change, w.first_minute, w.end_minute, w.reason, w.by, list(w.slos)]
            cursor.execute("INSERT INTO maintenance_log VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def log_of(cursor: Cursor) -> dict[Maintenance, int]:
    """When each window that was ever declared was last seen to be new, in ns."""
    rows = cursor.execute(f"SELECT {_WINDOW}, max(at_ns) FROM maintenance_log WHERE change = 'declared' GROUP BY ALL")
    return {_of_row(*row): at_ns for *row, at_ns in rows.fetchall()}


def _of_row(first_minute: int, end_minute: int, reason: str, by: str, slos: list[str]) -> Maintenance:
    return Maintenance(first_minute, end_minute, reason, by, tuple(slos))


_WINDOW = "first_minute, end_minute, reason, declared_by, slos"
_IN_FORCE = f"""
SELECT {_WINDOW} FROM maintenance_log GROUP BY ALL
HAVING count(*) FILTER (change = 'declared') > count(*) FILTER (change = 'withdrawn')
"""
