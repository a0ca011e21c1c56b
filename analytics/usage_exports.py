"""Usage and cost exports of providers, CSV or JSON, as one frame. The formats are data: `data/usage_exports.toml`."""

import csv
import io
import json
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, DecimalException
from importlib import resources
from typing import Any

import polars as pl

MAX_BYTES = 256 << 20
COUNTS = ("requests", "input", "cache_read", "cache_write", "output")
SCHEMA: dict[str, Any] = {
    "day": pl.Date, "model": pl.String, "key": pl.String, **dict.fromkeys(COUNTS, pl.Int64), "pusd": pl.Int64,
}  # fmt: skip

_FORMATS: list[dict[str, Any]] = tomllib.loads(
    resources.files("analytics").joinpath("data/usage_exports.toml").read_text(encoding="utf-8")
)["format"]
_CURRENCIES = ("amount.currency", "amount_currency", "currency")
_TIMES = ("start_time", "end_time", "starting_at", "ending_at", "start_time_iso", "end_time_iso")


class ExportFileError(ValueError):
    """An export cannot be read; the text names file, row, column and the remedy."""


def read_export(name: str, data: bytes) -> tuple[str, str, pl.DataFrame]:
    """Provider, name of the format, and a row of SCHEMA a line: tokens (input inclusive of caches) and 10^-12 USD.

    What a format does not tell is null. `name` is what errors call the file. Raises ExportFileError.
    """
    if len(data) > MAX_BYTES:
        raise ExportFileError(f"{name}: larger than {MAX_BYTES >> 20} MiB: export fewer days at a time")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise ExportFileError(f"{name}: not UTF-8 text (byte {e.start}): export it again as CSV or JSON") from None
    rows = list(_json(name, text) if text.lstrip()[:1] in ("{", "[") else _csv(name, text))
    if not rows:
        raise ExportFileError(f"{name}: no rows: export a period with usage")
    columns = {column for _, row in rows for column in row}
    form = next((form for form in _FORMATS if columns.issuperset(form["has"])), None)
    if form is None:
        known = "; ".join(f"{form['name']} ({', '.join(form['has'])})" for form in _FORMATS)
        raise ExportFileError(f"{name}: not an export known here. Columns looked for: {known}")
    frame = pl.DataFrame([_row(f"{name}: {at}", form, row) for at, row in rows if any(row.values())], schema=SCHEMA)
    return form["provider"], form["name"], frame.filter(~pl.all_horizontal(pl.col(*COUNTS, "pusd").is_null()))


def _csv(name: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows with their place; a tab in the first line makes it a table of tabs."""
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=False)
    try:
        for number, row in enumerate(reader, start=2):
            cells = {(column or "").strip(): value for column, value in row.items() if isinstance(value, str)}
            yield f"row {number}", cells
    except csv.Error as e:
        raise ExportFileError(f"{name}: row {reader.line_num + 1}: not CSV ({e}): export it again") from None


def _json(name: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The results of all buckets of all pages, each with the times of its bucket."""
    try:
        whole = json.loads(text, parse_float=Decimal)
        pages = whole if isinstance(whole, list) else [whole]
    except (ValueError, RecursionError):
        try:
            pages = [json.loads(line, parse_float=Decimal) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError) as e:
            raise ExportFileError(f"{name}: not JSON ({e}): save the answer of the API as it is") from None
    held = [page.get("data", [page]) if isinstance(page, dict) else [page] for page in pages]
    buckets = [bucket for page in held for bucket in (page if isinstance(page, list) else [page])]
    for number, bucket in enumerate(buckets):
        if not isinstance(bucket, dict) or not isinstance(results := bucket.get("results", [bucket]), list):
            raise ExportFileError(
                f"{name}: bucket {number}: not an object with results: save the API's answer as it is"
            )
        times = {key: bucket[key] for key in _TIMES if key in bucket}
        for place, result in enumerate(results):
            if isinstance(result, dict):
                yield f"bucket {number}, result {place}", times | dict(_flat(result))


def _flat(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


def _row(place: str, form: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    for column in _CURRENCIES:
        if row.get(column) and str(row[column]).strip().upper() != "USD":
            remedy = "costs are compared in USD: export them in it, or compare usage"
            raise ExportFileError(f"{place}, column {column}: another currency: {remedy}")
    model = next((str(row[column]) for column in form["model"] if row.get(column)), None)
    keys = [str(row[column]) for column in form["keys"] if row.get(column)]
    counts = {count: _sum(place, row, form[count], 1) for count in COUNTS if count in form}
    pusd = _sum(place, row, form["usd"], Decimal(10**12) / form.get("units", 1)) if "usd" in form else None
    days = (_day(place, column, row[column]) for column in form["day"] if row.get(column))
    day = next(days, None)
    if day is None:
        raise ExportFileError(f"{place}, column {form['day'][0]}: empty: export it with its times")
    return {
        "day": day,
        "model": model and model.partition(",")[0].strip(),
        "key": keys[0] if keys else None,
        **counts,
        "pusd": pusd,
    }


def _sum(place: str, row: dict[str, Any], columns: list[str], scale: Decimal | int) -> int | None:
    """The whole sum of columns; None where none holds anything."""
    values = [(column, row[column]) for column in columns if row.get(column) not in (None, "")]
    return sum(_number(f"{place}, column {column}", value, scale) for column, value in values) if values else None


def _number(place: str, value: Any, scale: Decimal | int) -> int:
    try:
        number = Decimal(str(value).replace(",", "").strip().lstrip("$")) * scale
        whole = int(number.to_integral_value(ROUND_HALF_EVEN))
    except (DecimalException, ValueError, OverflowError):
        raise ExportFileError(f"{place}: not a number: export the file again without editing it") from None
    if abs(whole) >= 2**63 // 1000:
        raise ExportFileError(f"{place}: too large a number: export the file again without editing it")
    return whole


def _day(place: str, column: str, value: Any) -> date:
    """The day (UTC) of a time: seconds since 1970, RFC 3339, or a day."""
    try:
        text = str(value).strip()
        if text.replace(".", "", 1).isdecimal():
            return datetime.fromtimestamp(float(text), UTC).date()
        time = datetime.fromisoformat(text.replace("/", "-"))
        return time.astimezone(UTC).date() if time.tzinfo else time.date()
    except (ValueError, OverflowError, OSError):
        remedy = "write RFC 3339, a day such as 2026-11-20, or seconds since 1970"
        raise ExportFileError(f"{place}, column {column}: not a time: {remedy}") from None
