"""OTLP files as a stream of export requests, whatever their form: told by content, read in bounded memory.

Understood, each also gzipped: one protobuf message; many, each after its length (a varint, or four bytes
big-endian as the Collector's file exporter writes it); one JSON document; JSON lines.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from isal import igzip, isal_zlib

from collector.errors import Refused
from collector.otlp import jsonbody
from collector.otlp.answers import Signal
from collector.otlp.jsonfields import REQUESTS
from collector.otlp.protowire import I64, LEN, fields, varint

MAX_REQUEST_BYTES = 64 << 20
# One message is handed on in requests of about this size: its resources, each of them, are a request of their own.
SPLIT_BYTES = 1 << 20

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# Not after a line feed: that is also how a protobuf message starts.
_JSON = re.compile(rb"(\xef\xbb\xbf)?[ \t\r]*(\{\s*[\"}]|\[)")
_RESOURCES = 0x0A  # the tag of the only field of an Export...ServiceRequest

_READ_ERRORS = (OSError, EOFError, zlib.error, cast(type[Exception], isal_zlib.error))


class Request(NamedTuple):
    """One export request of a file.

    body: protobuf. file_bytes: how much of the file has been read, for progress. dropped: JSON values of a
    wrong type that were left out.
    """

    signal: Signal
    body: bytes
    file_bytes: int
    dropped: int


def requests(path: Path, *, max_request_bytes: int = MAX_REQUEST_BYTES) -> Iterator[Request]:
    """The requests of a file in their order.

    Raises Refused naming the file and the place (a byte of the decompressed content) when the content cannot be
    read, OSError when the file cannot be opened.
    """
    with path.open("rb") as raw:
        source = _Source(path, raw, max_request_bytes)
        head = source.peek()
        for signal, body, dropped in _form(source, head)(source) if head else ():
            yield Request(signal, body, raw.tell(), dropped)


Piece = tuple[Signal, bytes, int]


class _Source:
    """The decompressed content: reads that never exceed the limit, errors that name file and place."""

    def __init__(self, path: Path, raw: BufferedReader, limit: int) -> None:
        self.path = path
        self.limit = limit
        self.at = 0
        is_gzip = raw.peek(2)[:2] == _GZIP
        self._stream = BufferedReader(_inflating(raw)) if is_gzip else raw

    def peek(self) -> bytes:
        return self._try(lambda: self._stream.peek(64)[:64])

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        if size > self.limit:
            raise self.refusal(f"a request of {size} bytes is larger than {self.limit}, or this is no OTLP file")
        data = self._try(lambda: cast(BinaryIO, self._stream).read(size))
        if len(data) < size:
            raise self.refusal(f"the file ends {size - len(data)} bytes before the end of a request")
        self.at += size
        return data

    def line(self) -> bytes:
        """The next line with its end; b"" at the end."""
        data = self._try(lambda: self._stream.readline(self.limit + 1))
        if len(data) > self.limit:
            raise self.refusal(f"a line is longer than {self.limit} bytes")
        self.at += len(data)
        return data

    def rest(self, begun: bytes) -> bytes:
        """`begun` and all that follows."""
        data = begun + self._try(lambda: self._stream.read(self.limit + 1 - len(begun)))
        if len(data) > self.limit:
            raise self.refusal(f"one JSON document is larger than {self.limit} bytes: write one request a line")
        self.at += len(data) - len(begun)
        return data

    def varint(self) -> int | None:
        """The next varint; None at the end."""
        value = 0
        for shift in range(0, 35, 7):
            if not shift and not self.peek():
                return None
            byte = self.read(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise self.refusal("a length is not plausible: this is no OTLP file")

    def refusal(self, reason: str, at: int | None = None) -> Refused:
        return Refused(f"{self.path}, byte {self.at if at is None else at}: {reason}")

    def _try(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except _READ_ERRORS as e:
            raise self.refusal(f"the gzip data is damaged or ends early ({type(e).__name__})") from e


def _inflating(raw: BufferedReader) -> RawIOBase:
    return cast(RawIOBase, igzip.IGzipFile(fileobj=raw))  # type: ignore[no-untyped-call]


def _form(source: _Source, head: bytes) -> Callable[[_Source], Iterator[Piece]]:
    if _JSON.match(head):
        return _json
    if head[:4] == _ZSTD:
        raise source.refusal("zstd is not read here: decompress the file first")
    if head[0] == _RESOURCES:
        return _one_message
    return _framed if head[0] < 4 else _delimited


def _json(source: _Source) -> Iterator[Piece]:
    at, line = 0, source.line()
    try:
        document = jsonbody.parse(line.removeprefix(b"\xef\xbb\xbf"))
    except Refused:  # not a line of its own: the file is one document over many lines
        at, line = 0, source.rest(line).removeprefix(b"\xef\xbb\xbf")
        document = _parsed(source, line, at)
    while True:
        yield from _signals(source, document, at)
        at = source.at
        while not (line := source.line()).strip():
            if not line:
                return
            at = source.at
        document = _parsed(source, line, at)


def _parsed(source: _Source, data: bytes, at: int) -> dict[str, object]:
    try:
        return jsonbody.parse(data)
    except Refused as e:
        raise source.refusal(e.reason, at) from None


def _signals(source: _Source, document: dict[str, object], at: int) -> Iterator[Piece]:
    """The requests in one JSON object, by the names of its resources."""
    names = {name: signal for signal, (name, _) in REQUESTS.items()}
    if document and not names.keys() & document.keys():
        raise source.refusal(f"the JSON object has none of {', '.join(names)}: this is no OTLP file", at)
    for name, signal in names.items():
        if document.get(name):
            try:
                body, dropped = jsonbody.encode(signal, document)
            except Refused as e:
                raise source.refusal(e.reason, at) from None
            yield signal, body, dropped.total()


def _one_message(source: _Source) -> Iterator[Piece]:
    parts: list[bytes] = []
    size, at = 0, source.at
    while (tag := source.varint()) is not None:
        if tag != _RESOURCES:
            raise source.refusal(f"field tag {tag} is not one of an export request: this is no OTLP file")
        length = source.varint() or 0
        parts += [bytes([_RESOURCES]), varint(length), source.read(length)]
        size += length
        if size >= SPLIT_BYTES:
            yield from _detected(source, b"".join(parts), at)
            parts, size, at = [], 0, source.at
    yield from _detected(source, b"".join(parts), at)


def _delimited(source: _Source) -> Iterator[Piece]:
    at = source.at
    while (length := source.varint()) is not None:
        yield from _detected(source, source.read(length), at)
        at = source.at


def _framed(source: _Source) -> Iterator[Piece]:
    while source.peek():
        at = source.at
        yield from _detected(source, source.read(int.from_bytes(source.read(4), "big")), at)


# --- which signal a protobuf request is ---------------------------------------------------------------------


def _detected(source: _Source, body: bytes, at: int) -> Iterator[Piece]:
    try:
        signal = signal_of(body)
    except ValueError:
        raise source.refusal(f"{len(body)} bytes are not an OTLP request in protobuf", at) from None
    if signal:
        yield signal, body, 0


def signal_of(body: bytes) -> Signal | None:
    """Which signal a request carries, by the shape of its first item; None if it has no items.

    A span has its times as fixed64 in fields 7 and 8, a log record in 1 and 11; a metric has none.
    Raises ValueError if the bytes are no protobuf message.
    """
    for number, _, resource in fields(memoryview(body)):
        if number != 1:
            raise ValueError(f"field {number}")
        for scope in (value for n, wire, value in fields(resource) if (n, wire) == (2, LEN)):
            for item in (value for n, wire, value in fields(scope) if (n, wire) == (2, LEN)):
                return _signal_of_item({(n, wire): len(value) for n, wire, value in fields(item)})
    return None


def _signal_of_item(lengths: dict[tuple[int, int], int]) -> Signal:
    if lengths.keys() & {(7, I64), (8, I64)} or (lengths.get((1, LEN)), lengths.get((2, LEN))) == (16, 8):
        return "traces"
    return "metrics" if (1, LEN) in lengths else "logs"
