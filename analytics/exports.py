"""Frames of a report as files: CSV, Parquet, JSON or JSON lines, encoded piece by piece in bounded memory.

Amounts are Decimal columns: plain decimal text without trailing zeros in CSV and JSON, decimals in Parquet. Text in
CSV that a spreadsheet would run as a formula begins with an apostrophe.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
}
"""Formats and their media types."""

ROWS = 20_000
"""Rows of a piece: enough for speed, little enough to hold."""

_FORMULA = r"^[\s\x00-\x1f]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]"


def encoded(frames: Iterator[pl.DataFrame], form: str, head: dict[str, Any] | None = None) -> Iterator[bytes]:
    """The frames, all of one schema, at least one and it may be empty, as the bytes of one file of FORMATS.

    `head` stands beside the `items` of a JSON document.
    """
    if form == "json":
        yield from _json(frames, head or {})
    else:
        yield from {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[form](frames)


def save(frames: Iterator[pl.DataFrame], form: str, path: Path, head: dict[str, Any] | None = None) -> None:
    """Write a file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.writelines(encoded(frames, form, head))
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def usd(pusd: pl.Expr) -> pl.Expr:
    """Integers of 10^-12 USD as exact decimal USD: the same digits with the point moved."""
    digits = pusd.cast(pl.String).str.strip_prefix("-").str.zfill(13)
    sign = pl.when(pusd < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    text = pl.concat_str(sign, digits.str.head(-12), pl.lit("."), digits.str.tail(12))
    return pl.when(pusd.is_not_null()).then(text).str.to_decimal(scale=12).cast(pl.Decimal(38, 12))


def _plain(frame: pl.DataFrame, whole: str) -> pl.DataFrame:
    """Amounts as text without trailing zeros; `whole` is what stands for a fraction of nothing."""
    text = pl.selectors.decimal().cast(pl.String).str.strip_chars_end("0").str.replace(r"\.$", whole)
    return frame.with_columns(text.name.keep())


def _csv(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    """Amounts keep a decimal place, so that readers that guess types see decimals."""
    for number, frame in enumerate(frames):
        words = pl.selectors.string()
        inert = frame.with_columns(pl.when(words.str.contains(_FORMULA)).then("'" + words).otherwise(words).name.keep())
        yield _plain(inert, ".0").write_csv(None, include_header=not number).encode()


def _jsonl(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    for frame in frames:
        yield _plain(frame, "").write_ndjson(None).encode()


def _json(frames: Iterator[pl.DataFrame], head: dict[str, Any]) -> Iterator[bytes]:
    yield orjson.dumps(head)[:-1] + (b"," if head else b"") + b'"items":['
    before = b""
    for piece in _jsonl(frames):
        if piece:
            yield before + piece.rstrip(b"\n").replace(b"}\n{", b"},\n{")
            before = b",\n"
    yield b"]}"


def _parquet(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    """A row group a frame; what the writer has written is handed on at once."""
    sink = _Sink()
    writer: pq.ParquetWriter | None = None
    for frame in frames:
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if writer is None:
            writer = pq.ParquetWriter(pa.PythonFile(sink, mode="w"), table.schema, compression="zstd")
        if len(table):
            writer.write_table(table)
        yield sink.take()
    if writer is not None:
        writer.close()
        yield sink.take()


class _Sink:
    """A file that keeps only what nobody has taken yet."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self._parts.append(bytes(data))
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        """How much was ever written."""
        return self._written

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing to close."""

    def take(self) -> bytes:
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
