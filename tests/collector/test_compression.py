"""Decompression never takes more than it may."""

import gzip
import os
import resource
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import Refused, TooLarge
from collector.otlp.compression import MAX_MEMBERS, inflate

MIB = 1 << 20


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(0, 3))
def test_gzip_members(parts: list[bytes], zeros: int) -> None:
    """Members are joined; zero padding after them is no data."""
    data = b"".join(gzip.compress(p) for p in parts) + bytes(zeros)
    assert inflate(data, "gzip", 2000) == b"".join(parts)


@given(st.binary(max_size=5000), st.integers(1, 50))
def test_limit_is_exact(part: bytes, repeat: int) -> None:
    """Exactly the limit passes, one byte more does not; zlib and bare deflate alike."""
    data = part * repeat
    bare = zlib.compressobj(wbits=-15)
    for encoding, packed in (
        ("gzip", gzip.compress(data)),
        ("deflate", zlib.compress(data)),
        ("deflate", bare.compress(data) + bare.flush()),
    ):
        assert inflate(packed, encoding, len(data)) == data
        if data:
            with pytest.raises(TooLarge):
                inflate(packed, encoding, len(data) - 1)


@given(st.data())
def test_damage(data: st.DataObject) -> None:
    """Cut or changed data is refused, never half accepted."""
    packed = gzip.compress(os.urandom(2000), mtime=0)
    with pytest.raises(Refused):
        inflate(packed[: data.draw(st.integers(0, len(packed) - 1))], "gzip", MIB)
    at = data.draw(st.integers(10, len(packed) - 1))
    changed = packed[:at] + bytes([packed[at] ^ 0xFF]) + packed[at + 1 :]
    with pytest.raises(Refused):
        inflate(changed, "gzip", MIB)


@pytest.mark.parametrize(
    ("encoding", "packed"), [("gzip", gzip.compress(b"a", mtime=0)), ("deflate", zlib.compress(b"a"))]
)
def test_trailing_garbage(encoding: str, packed: bytes) -> None:
    """What follows the end of the data is not ignored."""
    with pytest.raises(Refused):
        inflate(packed + b"xyz", encoding, MIB)


@pytest.mark.slow
def test_bomb() -> None:
    """Half a gibibyte behind half a mebibyte costs little more memory than the limit."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(512)) + packer.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooLarge):
        inflate(bomb, "gzip", 16 * MIB)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 48 * 1024


def test_many_members() -> None:
    """Millions of empty members cost no quadratic time."""
    began = time.process_time()
    with pytest.raises(Refused):
        inflate(gzip.compress(b"") * 1_000_000, "gzip", MIB)
    assert time.process_time() - began < 2
    assert inflate(gzip.compress(b"") * MAX_MEMBERS, "gzip", MIB) == b""
