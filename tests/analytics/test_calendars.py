"""Days and periods by the clocks of a time zone, through changes of those clocks."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.calendars import Calendar, day, days, is_zone

ZONES = ("UTC", "Europe/Rome", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Africa/Cairo", "America/Havana")


def minute(text: str, zone: str = "UTC") -> int:
    """A local time as a minute since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) // 60


def calendar(count: int, unit: str, start: str = "2026-01-01", zone: str = "Europe/Rome") -> Calendar:
    """A calendar that begins at midnight."""
    return Calendar(count, unit, datetime.fromisoformat(start), zone)


@pytest.mark.parametrize(
    ("at", "hours"),
    [("2026-03-29T12:00", 23), ("2026-03-30T12:00", 24), ("2026-10-25T00:30", 25), ("2026-10-25T23:59", 25)],
)
def test_days_of_changing_clocks(at: str, hours: int) -> None:
    """In Rome the day on which clocks go forward has 23 hours, the one on which they go back 25."""
    begin, end = day("Europe/Rome", minute(at, "Europe/Rome"))

    assert (end - begin) / 60 == hours
    assert datetime.fromtimestamp(begin * 60, ZoneInfo("Europe/Rome")).strftime("%F %T") == f"{at[:10]} 00:00:00"


def test_a_midnight_that_is_skipped_or_shown_twice() -> None:
    """Where clocks jump at midnight the day begins with the jump; where they go back to it, at the first one."""
    begin, end = day("Africa/Cairo", minute("2026-04-24T12:00", "Africa/Cairo"))  # 24 April begins at 01:00
    assert (end - begin) / 60 == 23
    assert begin == minute("2026-04-23T22:00")
    begin, end = day("America/Havana", minute("2026-11-01T12:00", "America/Havana"))  # 01:00 is 00:00 again
    assert (end - begin) / 60 == 25
    assert begin == minute("2026-11-01T04:00")


@pytest.mark.parametrize(
    ("found", "at", "begin", "end"),
    [
        (calendar(1, "M"), "2026-02-28T23:59", "2026-02-01", "2026-03-01"),
        (calendar(1, "M"), "2026-03-01T00:00", "2026-03-01", "2026-04-01"),
        (calendar(1, "M", "2026-01-15"), "2026-03-14T12:00", "2026-02-15", "2026-03-15"),
        (calendar(1, "Q"), "2026-11-21T12:00", "2026-10-01", "2027-01-01"),
        (calendar(2, "M"), "2025-12-31T12:00", "2025-11-01", "2026-01-01"),
        (calendar(1, "w", "2026-01-05"), "2026-03-29T23:59", "2026-03-23", "2026-03-30"),
        (calendar(1, "d"), "2026-10-25T02:30", "2026-10-25", "2026-10-26"),
        (calendar(1, "Y"), "2020-02-29T00:00", "2020-01-01", "2021-01-01"),
    ],
)
def test_periods_of_a_calendar(found: Calendar, at: str, begin: str, end: str) -> None:
    """Months, quarters, weeks, days and years begin where people say they do, before and after the start as well."""
    zone = found.time_zone
    assert found.period(minute(at, zone)) == (minute(begin, zone), minute(end, zone))


@given(
    st.sampled_from(ZONES),
    st.sampled_from("dwMQY"),
    st.integers(1, 13),
    st.datetimes(datetime.fromisoformat("2001-01-01"), datetime.fromisoformat("2035-01-01")),
    st.integers(1_000_000_000 // 60, 2_000_000_000 // 60),
)
def test_periods_adjoin(zone: str, unit: str, count: int, start: datetime, now: int) -> None:
    """Whatever the calendar, a period holds its minute, ends where the next one begins and is never too long."""
    found = Calendar(count, unit, start.replace(day=min(start.day, 28), second=0, microsecond=0), zone)
    begin, end = found.period(now)

    assert begin <= now < end
    assert found.period(begin) == found.period(end - 1) == (begin, end)
    assert found.period(end)[0] == end
    assert end - begin <= found.longest_minutes


def test_days_that_end_within() -> None:
    """All local days whose last minute lies in an extent, one after the other."""
    first, end = minute("2026-10-24T10:00"), minute("2026-10-26T10:00")
    found = list(days("Europe/Rome", first, end))

    assert [(e - b) / 60 for b, e in found] == [24, 25]
    assert found[0][1] == found[1][0]
    assert datetime.fromtimestamp(found[0][0] * 60, UTC).isoformat() == "2026-10-23T22:00:00+00:00"


@pytest.mark.parametrize(("name", "known"), [("Europe/Rome", True), ("Rome", False), ("../etc", False), (7, False)])
def test_names_of_time_zones(name: object, known: bool) -> None:
    """Only names of the IANA database are time zones."""
    assert is_zone(name) is known
