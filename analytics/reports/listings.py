"""What every answer shares: its SQL file, how current it is, and where its next page begins."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import Any

from typing_extensions import TypedDict

from analytics.reports.values import BadQuestion, moment
from collector.store import Cursor, Store

MAX_LIMIT = 10_000
_PARAMETER = re.compile(r"\$(\w+)")
_COMMENT = re.compile(r"^ *--.*\n", re.MULTILINE)
_BRACKETS = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)


class Lag(TypedDict):
    """How far the jobs are behind what was stored: `seconds` since the oldest unread arrival, `spans` unread."""

    seconds: float
    spans: int


class Currency(TypedDict):
    """How current an answer is: everything that arrived before `as_of` is in it."""

    as_of: str
    lag: Lag


@contextmanager
def reading(store: Store) -> Iterator[Cursor]:
    """A cursor that sees one state of the store in all its queries."""
    with store.cursor() as c:
        c.begin()
        yield c
        c.rollback()


@cache
def query(name: str) -> str:
    """The text of analytics/queries/NAME.sql."""
    return resources.files("analytics").joinpath("queries", f"{name}.sql").read_text()


def rows(c: Cursor, name: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The answer to a query file as one dict a row."""
    return dicts(c, *asked(query(name), params))


def asked(sql: str, params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A question without its parameters that are None, so that conditions that they switch off cost nothing: what names
    one in [[double brackets]] is left out, elsewhere they are written into the text as NULL."""
    unknown = {name for name, value in params.items() if value is None}
    text = _COMMENT.sub("", sql)
    text = _BRACKETS.sub(lambda found: "" if unknown.intersection(_PARAMETER.findall(found[1])) else found[1], text)
    used = set(_PARAMETER.findall(text))
    text = _PARAMETER.sub(lambda found: "NULL" if found[1] in unknown else found[0], text)
    return text, {name: params[name] for name in used - unknown}


def dicts(c: Cursor, sql: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The answer to a query as one dict a row."""
    c.execute(sql, dict(params) if params else None)
    columns = [column[0] for column in c.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in c.fetchall()]


def currency(c: Cursor, now_ns: int) -> Currency:
    """How current the runs, calls and findings are that the jobs made."""
    spans, oldest_ns = c.execute(query("lag")).fetchall()[0]
    if not spans:
        return {"as_of": moment(now_ns), "lag": {"seconds": 0.0, "spans": 0}}
    behind_s = max(0.0, round((now_ns - oldest_ns) / 1e9, 3))
    return {"as_of": moment(min(now_ns, oldest_ns)), "lag": {"seconds": behind_s, "spans": spans}}


def require_limit(limit: int) -> None:
    """Raise BadQuestion unless `limit` is usable."""
    if not 1 <= limit <= MAX_LIMIT:
        raise BadQuestion("limit", f"limit must be from 1 to {MAX_LIMIT}")


def bookmark(*place: int | str) -> str:
    """The opaque cursor of the page that begins after the row at `place`."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).rstrip(b"=").decode()


def place_of(cursor: str | None, *types: type) -> tuple[Any, ...]:
    """The place that a cursor stands for, Nones without one. Raises BadQuestion for a foreign cursor."""
    if cursor is None:
        return (None,) * len(types)
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        place = None
    if not isinstance(place, list) or [type(value) for value in place] != list(types):
        raise BadQuestion("cursor", "cursor is not one of this listing: pass a next_cursor of it, or leave it out")
    return tuple(place)
