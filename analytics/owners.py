"""The owner map (`owners.toml`): which team pays for a call, and how shared calls are split.

An entry matches by globs over tenant, agent and service (a missing one matches anything, case is ignored) and may be
bound to days (UTC, both included). Of several entries that match a call the last one holds; a call that none matches
is unallocated (owner null). A shared entry divides each of its calls: amounts and tokens by largest remainder, so
that the parts add up to the call; the call itself counts once, for one of the sharers, drawn by its span id in
proportion to the shares. Hence every grouping by owner adds up to the same totals, to the last digit.
"""

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from analytics.pricing.entries import matches

MAX_SHARES = 10_000
"""Highest sum of the shares of an entry: a call of 2^63 x 10^-12 USD then still splits within 128 bits."""

_PATTERNS = ("tenant", "agent", "service")
_KEYS = {"team", "cost_centre", "shares", "valid_from", "valid_to", *_PATTERNS}
_EVER_NS = (-(2**63), 2**63 - 1)
_SHARES: dict[str, Any] = {
    "call_group": pl.Int32, "valid_from_ns": pl.Int64, "valid_to_ns": pl.Int64, "owner": pl.String,
    "place": pl.Int32, "shares": pl.List(pl.Int32), "share": pl.Int32, "before": pl.Int32, "whole": pl.Int32,
}  # fmt: skip


class OwnerFileError(ValueError):
    """An owner map cannot be used; the text names the file, the entry, the key and the remedy."""


@dataclass(frozen=True)
class OwnerEntry:
    """Who pays for the matching calls: `shares` of teams, whole numbers; one team has it all."""

    shares: tuple[tuple[str, int], ...]
    tenant: str | None = None
    agent: str | None = None
    service: str | None = None
    valid_from: date | None = None
    valid_to: date | None = None

    def matches(self, tenant: str | None, agent: str | None, service: str | None) -> bool:
        """Whether a call of this description belongs here, whatever its day."""
        return matches(self.tenant, tenant) and matches(self.agent, agent) and matches(self.service, service)

    @property
    def extent_ns(self) -> tuple[int, int]:
        """When the entry holds, in ns since 1970, half-open."""
        first, last = self.valid_from, self.valid_to
        begin = _EVER_NS[0] if first is None else midnight_ns(first)
        return begin, _EVER_NS[1] if last is None else midnight_ns(last + timedelta(days=1))


@dataclass(frozen=True)
class OwnerMap:
    """Entries in file order, and the cost centres of teams."""

    entries: tuple[OwnerEntry, ...] = ()
    cost_centres: tuple[tuple[str, str], ...] = ()

    def cost_centre(self, team: str | None) -> str | None:
        """The cost centre of a team, if the file names one."""
        return dict(self.cost_centres).get(team or "")


def load_owners(path: Path) -> OwnerMap:
    """The owner map of a file; an empty one if there is no file. Raises OwnerFileError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return OwnerMap()
    except OSError as e:
        raise OwnerFileError(f"{path}: cannot be read ({e.strerror}): check the path and its permissions") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise OwnerFileError(f"{path}: not TOML ({e}): correct that place") from e
    if unknown := set(document) - {"owner"}:
        raise OwnerFileError(f"{path}: {min(unknown)}: not known here: write [[owner]] entries")
    tables = document.get("owner", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise OwnerFileError(f"{path}: owner is not a list of entries: write [[owner]] with two brackets")
    entries, centres = [], dict[str, str]()
    for number, table in enumerate(tables, start=1):
        place = f"{path}: [[owner]] entry {number}"
        entries.append(_entry(place, table))
        if "cost_centre" in table:
            team, centre = str(table.get("team")), _text(place, "cost_centre", table)
            if centres.setdefault(team, centre) != centre:
                raise OwnerFileError(f"{place}: cost_centre: {team!r} has another one above: keep one for each team")
    return OwnerMap(tuple(entries), tuple(centres.items()))


def shares_of(groups: pl.DataFrame, owners: OwnerMap) -> pl.DataFrame:
    """Who pays for the calls of each description, and when.

    `groups`: call_group, tenant, agent, service. Result, a row a share: `call_group`; `valid_from_ns` and
    `valid_to_ns` (half-open); `owner` (null: unallocated); `place` (from 1) in `shares`; `share` of `whole`, after
    the `before` of those above it.
    """
    rows: list[tuple[Any, ...]] = []
    for names, ids in groups.group_by(*_PATTERNS):
        texts = [None if name is None else str(name) for name in names]
        entries = [entry for entry in owners.entries if entry.matches(*texts)]
        for begin, end, entry in _intervals(entries):
            sharers = entry.shares if entry else ((None, 1),)
            shares, before = [share for _, share in sharers], 0
            for place, (owner, share) in enumerate(sharers, start=1):
                row = (begin, end, owner, place, shares, share, before, sum(shares))
                rows += [(group, *row) for group in ids["call_group"]]
                before += share
    return pl.DataFrame(rows, schema=_SHARES, orient="row").sort("call_group", "valid_from_ns", "before")


def split(amount: int, shares: list[int]) -> list[int]:
    """A whole amount in proportion to `shares`, by largest remainder; equal remainders go to the first. The parts
    add up to the amount; those of a negative amount are the negative ones of its opposite.
    """
    whole, sign = sum(shares), -1 if amount < 0 else 1
    parts = [abs(amount) * share // whole for share in shares]
    remainders = sorted(range(len(shares)), key=lambda i: (-(abs(amount) * shares[i] % whole), i))
    for i in remainders[: abs(amount) - sum(parts)]:
        parts[i] += 1
    return [sign * part for part in parts]


def _intervals(entries: list[OwnerEntry]) -> list[tuple[int, int, OwnerEntry | None]]:
    """The spans of time with the entry that holds in each: the last of those that do."""
    bounds = sorted({*_EVER_NS, *(bound for entry in entries for bound in entry.extent_ns)})
    return [
        (begin, end, next((e for e in reversed(entries) if e.extent_ns[0] <= begin < e.extent_ns[1]), None))
        for begin, end in pairwise(bounds)
    ]


def _entry(place: str, table: dict[str, Any]) -> OwnerEntry:
    if unknown := set(table) - _KEYS:
        raise OwnerFileError(f"{place}: {min(unknown)}: not known here: the keys are {', '.join(sorted(_KEYS))}")
    if ("team" in table) == ("shares" in table):
        raise OwnerFileError(f'{place}: write either team = "name", or shares = {{ one = 60, other = 40 }}')
    shares = _shares(place, table["shares"]) if "shares" in table else ((_text(place, "team", table), 1),)
    if "cost_centre" in table and "team" not in table:
        raise OwnerFileError(f"{place}: cost_centre: belongs to an entry with a team")
    days: dict[str, Any] = {key: _day(place, key, table) for key in ("valid_from", "valid_to") if key in table}
    if len(days) == 2 and days["valid_to"] < days["valid_from"]:
        raise OwnerFileError(f"{place}: valid_to = {days['valid_to']}: is before valid_from: exchange them")
    patterns: dict[str, Any] = {key: _text(place, key, table) for key in _PATTERNS if key in table}
    return OwnerEntry(shares, **patterns, **days)


def _shares(place: str, value: Any) -> tuple[tuple[str, int], ...]:
    shares = list(value.items()) if isinstance(value, dict) else []
    whole = all(isinstance(share, int) and not isinstance(share, bool) and share > 0 for _, share in shares)
    if not shares or not whole or sum(share for _, share in shares) > MAX_SHARES:
        remedy = f"write whole numbers above 0, at most {MAX_SHARES} together: {{ search = 60, billing = 40 }}"
        raise OwnerFileError(f"{place}: shares: {remedy}")
    return tuple(shares)


def _text(place: str, key: str, table: dict[str, Any]) -> str:
    value = table[key]
    if not isinstance(value, str) or not value.strip():
        raise OwnerFileError(f'{place}: {key}: write a text in quotes, such as "search"')
    return value.strip()


def _day(place: str, key: str, table: dict[str, Any]) -> date:
    value = table[key]
    if not isinstance(value, date) or isinstance(value, datetime) or not 1970 <= value.year < 2262:
        raise OwnerFileError(f"{place}: {key}: write a day without quotes, such as 2026-12-31")
    return value


def midnight_ns(day: date) -> int:
    """The beginning of a day (UTC) in ns since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 10**9
