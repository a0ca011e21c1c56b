"""The protobuf wire format by hand, for what no message class is made for."""

from collections.abc import Iterator

VARINT, I64, LEN, I32 = 0, 1, 2, 5  # wire types

_SMALL = [bytes([n]) for n in range(128)]


def varint(n: int) -> bytes:
    """A number of at most 64 bits, not negative."""
    if n < 128:
        return _SMALL[n]
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def fields(message: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Number, wire type and content of each field. Raises ValueError if the bytes are no message."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        wire = tag & 7
        if wire == VARINT:
            _, end = _read_varint(message, at)
        elif wire == LEN:
            length, at = _read_varint(message, at)
            end = at + length
        elif wire in (I64, I32):
            end = at + (8 if wire == I64 else 4)
        else:
            raise ValueError(f"wire type {wire}")
        if end > len(message):
            raise ValueError("a field ends after its message")
        yield tag >> 3, wire, message[at:end]
        at = end


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for i, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, at + i + 1
    raise ValueError("a varint does not end")
