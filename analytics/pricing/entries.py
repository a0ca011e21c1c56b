"""Price files: the user's negotiated prices (`prices.toml`) and frozen books, one format for both."""

import glob
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

MAX_USD = Decimal(2000)
"""Highest price of a million tokens, a million bytes, a request or a call. Three times the dearest model known;
a higher one has the wrong unit. It also keeps a call of 10^9 tokens within 64 bits of 10^-12 USD."""

WIDER: dict[str, tuple[str, ...]] = {
    "input": (),
    "cache_read": ("input",),
    "cache_write": ("input",),
    "cache_write_5m": ("cache_write", "input"),
    "cache_write_1h": ("cache_write", "input"),
    "input_audio": ("input",),
    "cache_read_audio": ("cache_read", "input_audio", "input"),
    "output": (),
    "reasoning": ("output",),
    "output_audio": ("output",),
}
"""Kinds of tokens that can have a price. Without one of its own a kind costs what the next wider kind costs."""

_HIDDEN = re.compile('["\\\\\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]')

Tiers = tuple[tuple[int, Mapping[str, Decimal]], ...]
"""Prices by context length: (holds above this many input tokens, USD by kind: per million tokens, per `request`).
Ascending; the first holds above -1. A tier prices the whole call; an empty table knows no price."""

PARTS = (*(kind for kind in WIDER if kind != "cache_write"), "request")
"""The disjoint parts of a call's cost, in the order of the columns `<part>_pusd`."""


class PriceFileError(ValueError):
    """A price file cannot be used; the text names the file, the entry, the key and the remedy."""


@dataclass(frozen=True)
class ModelEntry:
    """What the matching model calls cost. None matches anything; globs and texts ignore case.

    `context` is a service tier (batch, flex, priority ...); `above_input_tokens` matches calls with more input
    tokens than that, for the whole call; both days belong to the validity. `usd` holds USD per million tokens
    by kind, and USD per `request`.
    """

    model: str
    usd: Mapping[str, Decimal]
    provider: str | None = None
    tenant: str | None = None
    context: str | None = None
    above_input_tokens: int = -1
    valid_from: date | None = None
    valid_to: date | None = None
    source: str = "prices.toml"


@dataclass(frozen=True)
class ToolEntry:
    """What the matching tool calls cost. `usd` holds USD per `call` and per million `args_bytes`, `result_bytes`.

    A memory access is the tool `memory.read` or `memory.write` of the server that is its store.
    """

    tool: str
    usd: Mapping[str, Decimal]
    server: str | None = None
    tenant: str | None = None
    valid_from: date | None = None
    valid_to: date | None = None
    source: str = "prices.toml"


Entry = ModelEntry | ToolEntry


def holds(entry: Entry, tenant: str | None, day: date) -> bool:
    """Whether the entry is valid for this tenant on this day (UTC)."""
    return (
        (entry.tenant is None or entry.tenant == tenant)
        and (entry.valid_from is None or entry.valid_from <= day)
        and (entry.valid_to is None or day <= entry.valid_to)
    )


def matches(pattern: str | None, text: str | None) -> bool:
    """Whether the glob matches the text, case ignored; no pattern matches all."""
    return pattern is None or fnmatchcase((text or "").lower(), pattern.lower())


def load_overrides(path: Path) -> list[Entry]:
    """The entries of a `prices.toml`, in file order. Raises PriceFileError."""
    return _entries(path, _read(path))


def load_frozen(path: Path) -> tuple[str, list[Entry]]:
    """Version and entries of a frozen book: a price file with a `version` text. Raises PriceFileError."""
    document = _read(path)
    version = document.pop("version", None)
    if not isinstance(version, str) or not version:
        raise PriceFileError(f'{path}: version is missing: begin the file with version = "name and date"')
    return version, _entries(path, document)


def entry_for(provider: str | None, model: str) -> str:
    """The entry of a `prices.toml` for a model without a price. Each `...` stands for an amount: the file is refused as
    long as one is in it, so that no call is ever priced at nothing by mistake.
    """
    names = [("provider", provider), ("model", glob.escape(model))]
    lines = [f"{key} = {_quoted(name)}" for key, name in names if name]
    return "\n".join(["[[model]]", *lines, "usd_per_million_tokens = { input = ..., output = ... }"])


def _quoted(name: str) -> str:
    """A TOML string in which nothing is hidden: quotes, controls and marks that reorder text are written as codes."""
    return '"' + _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", name) + '"'


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as e:
        raise PriceFileError(f"{path}: cannot be read ({e.strerror}): check the path and its permissions") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise PriceFileError(f"{path}: not TOML ({e}): correct that place") from e


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError('write a text in quotes, such as "acme"')
    return value.strip()


def _day(value: Any) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError("write a day without quotes, such as 2026-12-31")
    return value


def _tokens(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 10**9:
        raise ValueError("write a number of tokens, such as 200_000")
    return value


def _usd(value: Any) -> Decimal:
    number = isinstance(value, int | Decimal) and not isinstance(value, bool) and Decimal(value).is_finite()
    if not number or not 0 <= value <= MAX_USD:
        raise ValueError(f"write a price in USD from 0 to {MAX_USD}, without quotes, such as 1.25")
    return Decimal(value)


def _prices(kinds: tuple[str, ...]) -> Callable[[Any], dict[str, Decimal]]:
    def read(value: Any) -> dict[str, Decimal]:
        if not isinstance(value, dict) or not value or set(value) - set(kinds):
            raise ValueError(f"write a table of prices {{ {kinds[0]} = 1.25 }}; its keys are {', '.join(kinds)}")
        return {kind: _usd(price) for kind, price in value.items()}

    return read


_COMMON: dict[str, Callable[[Any], Any]] = {"tenant": _text, "valid_from": _day, "valid_to": _day}
_KEYS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "model": {
        "provider": _text,
        "model": _text,
        "context": _text,
        "above_input_tokens": _tokens,
        "usd_per_million_tokens": _prices(tuple(WIDER)),
        "usd_per_request": _usd,
        **_COMMON,
    },
    "tool": {
        "server": _text,
        "tool": _text,
        "usd_per_call": _usd,
        "usd_per_million_bytes": _prices(("args", "result")),
        **_COMMON,
    },
}


def _entries(path: Path, document: dict[str, Any]) -> list[Entry]:
    if unknown := set(document) - set(_KEYS):
        raise PriceFileError(f"{path}: {min(unknown)}: not known here: write [[model]] or [[tool]] entries")
    entries: list[Entry] = []
    for section, tables in document.items():
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise PriceFileError(f"{path}: {section} is not a list of entries: write [[{section}]] with two brackets")
        for number, table in enumerate(tables, start=1):
            place = f"{path}: [[{section}]] entry {number}"
            entries.append(_entry(place, section, _values(place, _KEYS[section], table), path.name))
    return entries


def _values(place: str, keys: dict[str, Callable[[Any], Any]], table: dict[str, Any]) -> dict[str, Any]:
    values = {}
    for key, value in table.items():
        if key not in keys:
            raise PriceFileError(f"{place}: {key}: not a key: the keys are {', '.join(keys)}")
        try:
            values[key] = keys[key](value)
        except ValueError as e:
            raise PriceFileError(f"{place}: {key} = {value!s}: {e}") from e
    return values


def _entry(place: str, section: str, values: dict[str, Any], source: str) -> Entry:
    if section not in values:
        raise PriceFileError(f'{place}: {section} is missing: name what it prices, "*" for all')
    first, last = values.get("valid_from"), values.get("valid_to")
    if first and last and last < first:
        raise PriceFileError(f"{place}: valid_to = {last}: is before valid_from = {first}: exchange them")
    if section == "tool":
        usd = {f"{unit}_bytes": price for unit, price in values.pop("usd_per_million_bytes", {}).items()}
        if "usd_per_call" in values:
            usd["call"] = values.pop("usd_per_call")
        if not usd:
            raise PriceFileError(f"{place}: has no price: add usd_per_call or usd_per_million_bytes")
        return ToolEntry(usd=usd, source=source, **values)
    usd = values.pop("usd_per_million_tokens", {})
    for kind in usd:
        if WIDER[kind] and WIDER[kind][-1] not in usd:
            raise PriceFileError(f"{place}: {kind} without {WIDER[kind][-1]}: add the price of {WIDER[kind][-1]}")
    if "usd_per_request" in values:
        usd["request"] = values.pop("usd_per_request")
    if not usd:
        raise PriceFileError(f"{place}: has no price: add usd_per_million_tokens or usd_per_request")
    return ModelEntry(usd=usd, source=source, **values)
