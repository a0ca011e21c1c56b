"""Tenants and their clocks: the file, what they spent today, and budgets of days."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from analytics import slo_events, tenants
from analytics.slo import MINUTE_NS, Condition, Slo
from analytics.tenants import UTC, TimeZones
from collector.errors import ConfigError
from collector.store import Cursor, Store
from tests.analytics.objectives import SUCCESS
from tests.stores import empty_store
from tests.tables import call, put

USD = 10**12
ZONES = TimeZones({"rome": "Europe/Rome", "york": "America/New_York"})
DAYS = replace(
    SUCCESS,
    name="daily-spend",
    source="tenant_days",
    good=(Condition("spent_usd", "lte", ("5",)),),
    threshold=True,
    group_by=("tenant",),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One migrated store for the module; tests roll back what they write."""
    store = empty_store(tmp_path_factory.mktemp("tenants") / "s.duckdb")
    yield store
    store.close()


@pytest.fixture
def cursor(store: Store) -> Iterator[Cursor]:
    """A transaction that is undone."""
    with store.cursor() as found:
        found.begin()
        yield found
        found.rollback()


def at(text: str, zone: str = "UTC") -> int:
    """A local time in ns."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 10**9


def spend(cursor: Cursor, tenant: str, start_ns: int, usd: float, **values: object) -> None:
    """A model call that cost so much, told as the jobs tell it."""
    money = {"cost_pusd": int(usd * USD)}
    put(cursor, "calls", [call(cursor, start_ns, "llm.call", tenant=tenant, **(money | values))])
    slo_events.touch(cursor, [start_ns // MINUTE_NS])


def counts(cursor: Cursor, slo: Slo, now_ns: int) -> dict[str, tuple[int, int, int]]:
    """(good, bad, left out) by labels over the period."""
    rows = slo_events.window_counts(cursor, [(slo.name, slo.elapsed_minutes(now_ns))], now_ns).iter_rows()
    return {row[2]: row[4:7] for row in rows if any(row[4:7])}


def test_the_file(tmp_path: Path) -> None:
    """A tenant has its own time zone, else that of all others, else UTC."""
    assert tenants.load(tmp_path / "tenants.toml") == UTC
    path = tmp_path / "tenants.toml"
    path.write_text('[acme]\ntime_zone = "Europe/Rome"\n["*"]\ntime_zone = "Asia/Tokyo"\n')
    zones = tenants.load(path)

    assert [zones.of(t) for t in ("acme", "globex")] == ["Europe/Rome", "Asia/Tokyo"]
    assert zones.zones == ["Asia/Tokyo", "Europe/Rome"]
    assert UTC.of("acme") == "UTC"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[acme]\ntime_zone = "Rome"', r"acme.time_zone = 'Rome': is not a time zone: use a name of the IANA database"),
        ('[acme]\nzone = "Europe/Rome"', r"acme: must be a table with time_zone"),
        ('acme = "Europe/Rome"', r"acme: must be a table with time_zone"),
        ("[acme", r"tenants.toml: cannot be read as TOML"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, text: str, told: str) -> None:
    """Each mistake names the tenant, the value and the remedy."""
    (tmp_path / "tenants.toml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        tenants.load(tmp_path / "tenants.toml")


def test_today_begins_at_the_tenants_midnight(cursor: Cursor) -> None:
    """What was spent since midnight in Rome, in New York and in UTC, on the day on which Rome's clocks go back."""
    now_ns = at("2026-10-25T23:30", "Europe/Rome")
    slo_events.refresh(cursor, [], now_ns, ZONES)
    for tenant in ("rome", "york", "other"):
        for hours in range(27):
            spend(cursor, tenant, now_ns - hours * 3600 * 10**9, 1)
    slo_events.refresh(cursor, [], now_ns, ZONES)

    spent = {tenant: (zone, pusd // USD) for tenant, zone, pusd, _ in slo_events.spend_today(cursor, ZONES, now_ns)}
    assert spent == {"rome": ("Europe/Rome", 25), "york": ("America/New_York", 19), "other": ("UTC", 23)}


def test_a_day_counts_when_it_has_ended(cursor: Cursor) -> None:
    """A day over its limit is bad, one within it good, by the tenant's clocks; a day that goes on is neither; one with
    calls of unknown cost is left out unless it is over anyway."""
    zone = "Europe/Rome"
    for day, usd in (("2026-10-24", 4), ("2026-10-25", 6), ("2026-10-26", 9), ("2026-10-28", 9)):
        spend(cursor, "rome", at(f"{day}T00:00", zone), usd)
    spend(cursor, "rome", at("2026-10-24T23:59", zone), 1)  # 5 in all: not above
    for day in ("2026-10-26", "2026-10-27"):
        spend(cursor, "rome", at(f"{day}T12:00", zone), 0, cost_pusd=None, pricing="unpriced")
    now_ns = at("2026-10-28T23:58", zone)
    slo_events.refresh(cursor, [DAYS], now_ns, ZONES)

    assert counts(cursor, DAYS, now_ns) == {'{"tenant":"rome"}': (1, 2, 1)}
    assert counts(cursor, DAYS, now_ns + 60 * 10**9) == {'{"tenant":"rome"}': (1, 3, 1)}


def test_late_calls_correct_a_day(cursor: Cursor) -> None:
    """A call that comes days later moves its day over the limit, in every time zone, exactly as counting anew does;
    and another time zone counts everything anew."""
    now_ns = at("2026-11-03T12:00")
    for n in range(40):
        for tenant in ("rome", "york", "other"):
            spend(cursor, tenant, now_ns - n * 15_120 * 10**9, (n % 7) / 5)
    slo_events.refresh(cursor, [DAYS], now_ns, ZONES)
    before = counts(cursor, DAYS, now_ns)
    for tenant, text in (("rome", "2026-10-31T23:59"), ("york", "2026-10-31T23:59"), ("other", "2026-11-01T00:00")):
        spend(cursor, tenant, at(text, ZONES.of(tenant)), 50)
    slo_events.refresh(cursor, [DAYS], now_ns, ZONES)
    gradual = counts(cursor, DAYS, now_ns)
    cursor.execute("DELETE FROM slo_definitions")
    cursor.execute("DELETE FROM slo_minutes")
    slo_events.refresh(cursor, [DAYS], now_ns, ZONES)

    assert gradual == counts(cursor, DAYS, now_ns) != before
    assert all(sum(row) == sum(before[labels]) for labels, row in gradual.items())
    slo_events.refresh(cursor, [DAYS], now_ns, TimeZones({"*": "Asia/Tokyo"}))
    assert counts(cursor, DAYS, now_ns) != gradual


def test_users_have_days_too(cursor: Cursor) -> None:
    """The spend of each user and day; calls that name no user are nobody's."""
    slo = replace(DAYS, name="user-spend", source="user_days", group_by=("tenant", "user"))
    for user, usd in (("ann", 6), ("bob", 1), (None, 99)):
        spend(cursor, "rome", at("2026-10-25T12:00"), usd, user=user)
    now_ns = at("2026-10-27T12:00")
    slo_events.refresh(cursor, [slo], now_ns, ZONES)

    assert counts(cursor, slo, now_ns) == {
        '{"tenant":"rome","user":"ann"}': (0, 1, 0),
        '{"tenant":"rome","user":"bob"}': (1, 0, 0),
    }
