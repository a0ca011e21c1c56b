"""Who tells what happened in log events and counters: coding agents, one TOML file each in `events/`."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from collector.dialects.tables import glob

FOLDER = Path(__file__).parent / "events"


@dataclass(frozen=True)
class Event:
    """A log event that becomes a span of its name; without the attribute `has` a record tells nothing of its own.

    starts_run: its span is the root of the run. failed: the span has an error. denied: the attribute and the texts of
    it that say that a policy refused; such a span gets the attribute OUTCOME = "denied".
    """

    has: str = ""
    starts_run: bool = False
    failed: bool = False
    denied: tuple[str, tuple[re.Pattern[str], ...]] = ("", ())


@dataclass(frozen=True)
class Meter:
    """A counter or histogram sum to compare with the calls: the field that it fills, or one for each value of the
    attribute `kind`. A value that is in no field repeats others."""

    field: str = ""
    kind: str = ""
    fields: Mapping[str, str] = ()  # type: ignore[assignment]

    def field_of(self, kind: str) -> str:
        """The field for one value of the attribute `kind`; empty for none."""
        return self.fields.get(kind, "") if self.kind else self.field


@dataclass(frozen=True)
class Emitter:
    """One file. session, turn, sequence: keys of the attributes that name the session, the turn of it (one turn is one
    run), and the place of a record in the session; empty where the emitter has none."""

    name: str
    scopes: tuple[re.Pattern[str], ...]
    prefix: str
    session: str
    turn: str
    sequence: str
    events: Mapping[str, Event]
    redundant: frozenset[str]
    meters: Mapping[str, Meter]


@cache
def emitters() -> tuple[Emitter, ...]:
    """All of them."""
    return tuple(_read(tomllib.loads(path.read_text("utf-8"))) for path in sorted(FOLDER.glob("*.toml")))


@cache
def of_scope(scope: str) -> Emitter | None:
    """Who sends log records under this instrumentation scope; None if nobody that is known."""
    return next((e for e in emitters() if any(p.fullmatch(scope) for p in e.scopes)), None)


@cache
def meter(name: str) -> Meter | None:
    """The metric of this name; None if it is not known."""
    return next((e.meters[name] for e in emitters() if name in e.meters), None)


def _read(data: Mapping[str, Any]) -> Emitter:
    return Emitter(
        name=data["emitter"],
        scopes=tuple(glob(s) for s in data["scopes"]),
        prefix=data.get("prefix", ""),
        session=data["session"],
        turn=data.get("turn", ""),
        sequence=data.get("sequence", ""),
        events={name: _event(**entry) for name, entry in data["event"].items()},
        redundant=frozenset(data["redundant"]),
        meters={name: _meter(**entry) for name, entry in data["metric"].items()},
    )


def _event(denied: Mapping[str, Any] | None = None, **entry: Any) -> Event:
    if denied is None:
        return Event(**entry)
    return Event(**entry, denied=(denied["attribute"], tuple(glob(text) for text in denied["like"])))


def _meter(fields: Mapping[str, str | list[str]] | None = None, **entry: Any) -> Meter:
    told = {field: [values] if isinstance(values, str) else values for field, values in (fields or {}).items()}
    return Meter(**entry, fields={value: field for field, values in told.items() for value in values})
