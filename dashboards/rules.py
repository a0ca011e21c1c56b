"""The rule files of a data folder: prices, owners, objectives, maintenance, tenants, alerts, reports, dialect tables.

A running server reads a file again a moment after it has changed. One that cannot be used is refused, and what it said
before stays in force.
"""

import logging
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from analytics import alert_settings, maintenance, openslo, tenants
from analytics.alert_settings import AlertSettings
from analytics.exports import FORMATS
from analytics.owners import OwnerFileError, OwnerMap, load_owners
from analytics.pricing import PriceBook, PriceFileError, load_overrides
from analytics.report_plans import Plan, PlanFileError, load_plans
from analytics.reports.costs import GROUP_KEYS
from analytics.reports.exports import PRESETS
from analytics.slo import Slo
from collector.dialects.table_files import TableError
from collector.dialects.tables import Tables, load_tables
from collector.errors import ConfigError
from dashboards.api.remaps import DIALECTS
from dashboards.app import Rules

PRICES = "prices.toml"


log = logging.getLogger(__name__)


class RuleFiles:
    """What the rule files of a data folder say: `rules`, `plans`, `book` and `tables`, kept up to date by `refresh`."""

    def __init__(self, data: Path) -> None:
        """Read them all. Raises ConfigError naming the file and the key."""
        self._data = data
        self._seen = {name: _stamp(data / name) for name in _READERS}
        self._read = dict(self._seen)  # what each file looked like when it was read
        self._said: dict[str, Any] = {name: read(data) for name, read in _READERS.items()}
        self._refused: dict[str, str] = {}

    @property
    def rules(self) -> Rules:
        """What is in force, and the files that are refused."""
        return Rules(**{part: self._said[name] for part, name in _PARTS.items()}, refused=dict(self._refused))

    @property
    def plans(self) -> list[Plan]:
        """The scheduled reports in force."""
        plans: list[Plan] = self._said["reports.toml"]
        return plans

    @property
    def book(self) -> PriceBook:
        """The price book in force."""
        book: PriceBook = self._said[PRICES]
        return book

    @property
    def tables(self) -> Tables:
        """The dialect tables in force."""
        tables: Tables = self._said[DIALECTS]
        return tables

    def refresh(self) -> bool:
        """Read what has changed and looks as it did the last time, so that no file is read while it is written.

        Whether anything was read. A file that cannot be used is logged, and what it said before stays in force.
        """
        now = {name: _stamp(self._data / name) for name in _READERS}
        due = [name for name, stamp in now.items() if stamp == self._seen[name] != self._read[name]]
        self._seen = now
        for name in due:
            self._read[name] = now[name]
            try:
                self._said[name] = _READERS[name](self._data)
            except ConfigError as e:
                self._refused[name] = str(e)
                log.error("a rule file is refused, what it said before stays in force", extra={"problem": str(e)})
            else:
                self._refused.pop(name, None)
                log.info("a rule file was read again", extra={"file": name})
        return bool(due)


def load(data: Path) -> Rules:
    """What the files of _PARTS say. Raises ConfigError naming the file and the key."""
    return Rules(**{part: _READERS[name](data) for part, name in _PARTS.items()})


def slos(data: Path) -> tuple[Slo, ...]:
    """The objectives of DIR/slos. Raises ConfigError naming file, key and value."""
    return openslo.load(data / "slos")


def alerts(data: Path) -> AlertSettings:
    """DIR/alerts.toml. Raises ConfigError naming the key."""
    return alert_settings.load(data / "alerts.toml", os.environ)


def owners(data: Path) -> OwnerMap:
    """DIR/owners.toml. Raises ConfigError naming the entry."""
    try:
        return load_owners(data / "owners.toml")
    except OwnerFileError as e:
        raise ConfigError(str(e)) from e


def report_plans(data: Path) -> list[Plan]:
    """The scheduled reports of DIR/reports.toml. Raises ConfigError naming the entry."""
    try:
        return load_plans(data / "reports.toml", PRESETS, GROUP_KEYS, tuple(FORMATS))
    except PlanFileError as e:
        raise ConfigError(str(e)) from e


def price_book(data: Path) -> PriceBook:
    """The list prices under the overrides of DIR/prices.toml. Raises ConfigError naming the entry.

    A price file with a version is a frozen book: it takes the place of the list.
    """
    path = data / PRICES
    if not path.is_file():
        return PriceBook.seeded()
    try:
        return PriceBook.frozen(path) if _is_frozen(path) else PriceBook.seeded(load_overrides(path))
    except PriceFileError as e:
        raise ConfigError(str(e)) from e


def _is_frozen(path: Path) -> bool:
    try:
        return "version" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # whoever reads the entries says what is wrong
        return False


def dialect_tables(data: Path) -> Tables:
    """The built-in dialect tables under those of DIR/dialects. Raises ConfigError naming file, key and value."""
    try:
        return load_tables(data / DIALECTS)
    except TableError as e:
        raise ConfigError(str(e)) from e


_READERS: Mapping[str, Callable[[Path], Any]] = {
    PRICES: price_book, "owners.toml": owners, "slos": slos, "alerts.toml": alerts, "reports.toml": report_plans,
    DIALECTS: dialect_tables,
    "maintenance.toml": lambda data: maintenance.load(data / "maintenance.toml"),
    "tenants.toml": lambda data: tenants.load(data / "tenants.toml"),
}  # fmt: skip
_PARTS = {
    "slos": "slos", "alerts": "alerts.toml", "owners": "owners.toml", "maintenance": "maintenance.toml",
    "zones": "tenants.toml",
}  # fmt: skip


def _stamp(path: Path) -> tuple[Any, ...]:
    """What tells one state of a file, or of the files of a folder, from another; empty where there is none."""
    try:
        stat = path.stat()
        below = sorted((p.name, *_stamp(p)) for p in path.iterdir()) if path.is_dir() else ()
    except OSError:
        return ()
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns, *below)
