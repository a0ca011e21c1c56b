"""Decompression of request bodies with bounded output."""

from typing import cast

from isal import isal_zlib

from collector.errors import Refused, TooLarge

ENCODINGS = frozenset({"gzip", "x-gzip", "deflate", "zlib"})

_GZIP, _ZLIB, _RAW = 31, 15, -15
# Input and output of one call to the decoder: small enough that a bomb is noticed early, and that many tiny
# gzip members cannot make it copy the rest of the body again and again.
_INPUT_BYTES = 256 << 10
_FIRST_OUTPUT_BYTES = 64 << 10
_OUTPUT_BYTES = 4 << 20
MAX_MEMBERS = 1_000

_BadData = cast(type[Exception], isal_zlib.error)


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """The decompressed body. `encoding` is one of ENCODINGS; gzip may have several members.

    Memory is bounded by `limit` whatever the input claims. Raises TooLarge beyond `limit` bytes, Refused if
    the data is corrupt, ends early or is followed by something else.
    """
    window = _GZIP if encoding.endswith("gzip") else _deflate_window(body)
    parts: list[bytes] = []
    at = size = 0
    try:
        for _ in range(MAX_MEMBERS):
            decoder = isal_zlib.decompressobj(wbits=window)
            while not decoder.eof:
                piece = memoryview(body)[at : at + _INPUT_BYTES]
                step = min(_OUTPUT_BYTES if parts else _FIRST_OUTPUT_BYTES, limit + 1 - size)
                part = decoder.decompress(piece, step)
                at += len(piece) - len(decoder.unconsumed_tail) - len(decoder.unused_data)
                size += len(part)
                if size > limit:
                    raise TooLarge(f"the body is larger than {limit} bytes after decompression")
                if not part and not decoder.eof and at == len(body):
                    raise Refused(f"the {encoding} data ends early, after {size} decompressed bytes")
                parts.append(part)
            if window != _GZIP or at == len(body) or body[at] == 0:
                break
    except _BadData as e:
        raise Refused(f"the body is declared as {encoding}, and is not valid {encoding} data: {e}") from None
    if body[at:].strip(b"\0"):
        raise Refused(f"{len(body) - at} bytes follow the end of the {encoding} data")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _deflate_window(body: bytes) -> int:
    """`deflate` means zlib, but some clients send it bare."""
    is_zlib = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return _ZLIB if is_zlib else _RAW
