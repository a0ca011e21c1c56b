"""The rule files of a data folder: prices, owners, objectives, alerts, scheduled reports, dialect tables."""

import os
import tomllib
from pathlib import Path

from analytics import alert_settings, openslo
from analytics.exports import FORMATS
from analytics.owners import OwnerFileError, load_owners
from analytics.pricing import PriceBook, PriceFileError, load_overrides
from analytics.report_plans import Plan, PlanFileError, load_plans
from analytics.reports.costs import GROUP_KEYS
from analytics.reports.exports import PRESETS
from collector.dialects.table_files import TableError
from collector.dialects.tables import Tables, load_tables
from collector.errors import ConfigError
from dashboards.app import Rules

PRICES = "prices.toml"
DIALECTS = "dialects"


def load(data: Path) -> Rules:
    """Objectives of DIR/slos, DIR/alerts.toml and DIR/owners.toml. Raises ConfigError naming the file and the key."""
    slos, alerts = openslo.load(data / "slos"), alert_settings.load(data / "alerts.toml", os.environ)
    try:
        return Rules(slos, alerts, load_owners(data / "owners.toml"))
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
        is_frozen = "version" in tomllib.loads(path.read_text(encoding="utf-8"))
        return PriceBook.frozen(path) if is_frozen else PriceBook.seeded(load_overrides(path))
    except (PriceFileError, OSError, ValueError) as e:
        raise ConfigError(f"{e}" if isinstance(e, PriceFileError) else f"{path}: {e}") from e


def dialect_tables(data: Path) -> Tables:
    """The built-in dialect tables under those of DIR/dialects. Raises ConfigError naming file, key and value."""
    try:
        return load_tables(data / DIALECTS)
    except TableError as e:
        raise ConfigError(str(e)) from e
